package accesslog

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// mode of a log file: names of users and what they ask for are not for everyone.
const mode = 0o640

// file is a log file that can be opened anew under a writer. It is opened for
// appending: several generations may write to it, and it may be truncated.
type file struct {
	path string
	now  atomic.Pointer[os.File]
}

func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, mode)
}

// open opens the file of the name of now, and lets go of the one before.
func (f *file) open() error {
	next, err := openFile(f.path)
	if err != nil {
		return err
	}
	if before := f.now.Swap(next); before != nil {
		return before.Close()
	}
	return nil
}

// Write implements io.Writer.
func (f *file) Write(b []byte) (int, error) {
	for {
		now := f.now.Load()
		n, err := now.Write(b)
		if n == 0 && errors.Is(err, fs.ErrClosed) && f.now.Load() != now {
			continue // it was opened anew just then
		}
		return n, err
	}
}

// Close implements io.Closer.
func (f *file) Close() error { return f.now.Load().Close() }

// writable says why a file could not be opened for writing, and changes nothing.
func writable(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|unix.O_NONBLOCK, 0)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	folder := filepath.Dir(path)
	if err := unix.Access(folder, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "making a file in", Path: folder, Err: err}
	}
	return nil
}

var _ io.WriteCloser = (*file)(nil)
