package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxPath is what fits into sockaddr_un with its final NUL (unix(7)).
const maxPath = 107

// Waits of taking over a path.
const (
	lockWait = 3 * time.Second
	dialWait = time.Second
)

// socketFile is the file of a unix socket that this process has bound.
type socketFile struct {
	path string
	info fs.FileInfo
}

// listenUnix binds path, with mode from the first moment on which anybody can
// connect.
func listenUnix(path string, o Options) (net.Listener, *socketFile, error) {
	if len(path) > maxPath {
		return nil, nil, fmt.Errorf("the path has %d bytes, a unix socket's may have %d", len(path), maxPath)
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, nil, err
	}
	unlock, err := lockFolder(folder)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, nil, err
	}
	// Linux gives the file the mode of the socket's own inode, less the umask
	// (unix_bind in net/unix/af_unix.c), so it is never wider than mode; what
	// the umask took is given back below. Binding first and changing the mode
	// then would leave a moment for anyone, and the umask is the whole process's.
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var chmodErr error
		if err := raw.Control(func(fd uintptr) { chmodErr = syscall.Fchmod(int(fd), uint32(o.Mode.Perm())) }); err != nil {
			return err
		}
		return os.NewSyscallError("fchmod", chmodErr)
	}}
	listener, err := lc.Listen(context.Background(), "unix", path) // nothing in it waits
	if err != nil {
		return nil, nil, err
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	file := &socketFile{path: path}
	if file.info, err = os.Lstat(path); err == nil {
		err = file.grant(o)
	}
	if err != nil {
		return nil, nil, errors.Join(err, listener.Close(), os.Remove(path))
	}
	return listener, file, nil
}

// grant gives the file its owner and group, and its mode if it has another.
func (f *socketFile) grant(o Options) error {
	uid, gid := -1, -1 // as it is
	if o.Owner != "" {
		owner, err := user.Lookup(o.Owner)
		if err != nil {
			return err
		}
		if uid, err = strconv.Atoi(owner.Uid); err != nil {
			return fmt.Errorf("user %s: %w", o.Owner, err)
		}
	}
	if o.Group != "" {
		group, err := user.LookupGroup(o.Group)
		if err != nil {
			return err
		}
		if gid, err = strconv.Atoi(group.Gid); err != nil {
			return fmt.Errorf("group %s: %w", o.Group, err)
		}
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Lchown(f.path, uid, gid); err != nil {
			return err
		}
	}
	info, err := os.Lstat(f.path)
	if err != nil || info.Mode().Perm() == o.Mode.Perm() {
		return err
	}
	return os.Chmod(f.path, o.Mode.Perm())
}

// remove removes the file, unless it has gone or been replaced.
func (f *socketFile) remove() error {
	if !f.isOurs() {
		return nil
	}
	return os.Remove(f.path)
}

// isOurs says that the path still leads to the socket.
func (f *socketFile) isOurs() bool {
	info, err := os.Lstat(f.path)
	return err == nil && os.SameFile(info, f.info)
}

// lockFolder keeps a second start out while a path in folder changes hands. The
// lock is on the folder itself, so no lock file is left behind, and a killed
// process holds none.
func lockFolder(folder string) (unlock func(), err error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockWait)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(deadline) {
			_ = f.Close()
			return nil, fmt.Errorf("lock folder %s against another start: %w", folder, err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// removeStale removes the file of a socket that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and no socket; remove it or choose another path", path)
	}
	dialer := net.Dialer{Timeout: dialWait}
	conn, err := dialer.Dial("unix", path)
	switch {
	case err == nil:
		defer func() { _ = conn.Close() }()
		return fmt.Errorf("%s is in use by %s; stop it or choose another path", path, peer(conn))
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("%s may be in use (ss -xlp shows by whom): %w", path, err)
}

// peer names the process that listens on the other side.
func peer(conn net.Conn) string {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return "another process"
	}
	pid := 0
	err = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	if err != nil || pid == 0 {
		return "another process (ss -xlp shows which)"
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name)))
}
