package pluginhost

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	folderPrefix = "tq-"
	lockName     = "lock"
	randomLength = 10 // base32: 50 bits
	// maxSocketPath is sizeof(sun_path) less its NUL (unix(7)).
	maxSocketPath = 107
	// socketRoom is the longest path below the folder: go-plugin's
	// "/plugin-dir<10 digits>/plugin<10 digits>".
	socketRoom = 1 + 20 + 1 + 16
	// lockWait bounds the wait for another server that is just starting.
	lockWait = 5 * time.Second
)

// folder is the private folder of one host, locked while it lives.
type folder struct {
	path   string
	lock   *os.File
	remove func() error
}

// newFolder makes <parent>/tq-<random> and removes the folders beside it whose
// servers have died. The parent is locked meanwhile, so that nobody takes a
// folder for dead that is not locked yet.
func newFolder(parent string) (*folder, error) {
	if !filepath.IsAbs(parent) {
		return nil, fmt.Errorf("%q is not an absolute path", parent)
	}
	path := filepath.Join(parent, folderPrefix+random())
	if over := len(path) + socketRoom - maxSocketPath; over > 0 {
		return nil, fmt.Errorf("%s is %d bytes too long: paths of unix sockets have %d at most", parent, over, maxSocketPath)
	}
	// Workers run as other users must get through to their own folder.
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	gate, err := lockFile(filepath.Join(parent, "."+lockName), lockWait)
	if err != nil {
		return nil, err
	}
	defer func() { _ = gate.Close() }()
	sweep(parent)
	if err := os.Mkdir(path, 0o711); err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o711); err != nil { // whatever the umask
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	lock, err := lockFile(filepath.Join(path, lockName), 0)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	f := &folder{path: path, lock: lock}
	f.remove = sync.OnceValue(func() error {
		return errors.Join(os.RemoveAll(path), lock.Close())
	})
	return f, nil
}

// sub makes a folder below, for one plugin process. One that runs as another
// user gets a folder beside it too, "user-<uid>", for what the plugin processes
// of that user hand on to each other.
func (f *folder) sub(o *owner) (string, error) {
	if o != nil {
		shared := filepath.Join(f.path, fmt.Sprintf("user-%d", o.credential.Uid))
		if err := os.Mkdir(shared, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
		if err := o.give(shared); err != nil {
			return "", err
		}
	}
	path := filepath.Join(f.path, random())
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", err
	}
	if err := o.give(path); err != nil {
		return "", errors.Join(err, os.RemoveAll(path))
	}
	return path, nil
}

// sweep removes what servers that were killed have left.
func sweep(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), folderPrefix) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		lock, err := lockFile(filepath.Join(path, lockName), 0)
		if err != nil {
			continue // alive
		}
		_ = os.RemoveAll(path)
		_ = lock.Close()
	}
}

// lockFile opens the file, made if missing, and locks it. The lock ends with
// the process, however it ends.
func lockFile(path string, wait time.Duration) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(wait)
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EINTR) && time.Now().After(until) {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
		}
		<-time.After(10 * time.Millisecond)
	}
}

func random() string { return strings.ToLower(rand.Text()[:randomLength]) }
