package docroot

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// errOutside is a name that a symlink leads out of the document root.
var errOutside = errors.New("lies outside the document root")

// found is a file as the kernel found it.
type found struct {
	mode uint32
	// real is the file's path without symlinks; rel is the same below the
	// root. Both are set only when asked for or when a symlink was followed.
	real, rel string
}

func (f found) regular() bool { return f.mode&unix.S_IFMT == unix.S_IFREG }
func (f found) folder() bool  { return f.mode&unix.S_IFMT == unix.S_IFDIR }

// lookup finds what filename, the root as configured and rel, names now.
//
// The usual case, no symlink on the way, is one openat2 that the kernel
// refuses when there is one: then the text is the truth, and the file lies in
// the root. Only behind a symlink the real paths are read and compared. The
// root is looked up afresh each time, so that a switched link counts at once.
func (r *Root) lookup(filename, rel string, wantReal bool) (found, error) {
	if !r.linked {
		fd, err := openat2(unix.AT_FDCWD, filename, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
		if err == nil {
			defer closeFD(fd)
			f, err := stat(fd)
			if wantReal {
				f.real, f.rel = filename, rel
			}
			return f, err
		}
		if !refused(err) {
			return found{}, err
		}
	}
	root, err := openFolder(r.root)
	if err != nil {
		return found{}, err
	}
	defer closeFD(root)
	name := "." // for the root itself
	if rel != "" {
		name = rel[1:]
	}
	fd, err := openat2(root, name, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_BENEATH)
	if err == nil && !wantReal {
		defer closeFD(fd)
		return stat(fd)
	}
	if refused(err) {
		fd, err = openat(root, name)
	}
	if err != nil {
		return found{}, err
	}
	defer closeFD(fd)
	return inside(root, fd)
}

// inside says what fd is, and that it lies in the folder root.
func inside(root, fd int) (found, error) {
	f, err := stat(fd)
	if err != nil {
		return f, err
	}
	rootPath, err := realPath(root)
	if err != nil {
		return f, err
	}
	if f.real, err = realPath(fd); err != nil {
		return f, err
	}
	var ok bool
	if f.rel, ok = below(rootPath, f.real); !ok && f.real != rootPath {
		return f, errOutside
	}
	return f, nil
}

// refused says that openat2 met a symlink, or that a kernel before 5.6 or a
// sandbox does not let us call it.
func refused(err error) bool {
	return errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM)
}

// An O_PATH descriptor only names a file: nothing is opened for reading, so
// neither a FIFO nor a device reacts to it.
const openFlags = unix.O_PATH | unix.O_CLOEXEC

func openat2(dir int, name string, resolve uint64) (int, error) {
	for {
		fd, err := unix.Openat2(dir, name, &unix.OpenHow{Flags: openFlags, Resolve: resolve})
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func openat(dir int, name string) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, openFlags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func openFolder(name string) (int, error) {
	for {
		fd, err := unix.Open(name, openFlags|unix.O_DIRECTORY, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func stat(fd int) (found, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return found{mode: st.Mode}, err
}

// realPath asks the kernel for the path of fd. A deleted file gets " (deleted)"
// appended, which then names nothing.
func realPath(fd int) (string, error) {
	var buf [maxPath + 16]byte
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(fd), buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// closeFD closes an O_PATH descriptor, which cannot fail in a way that matters.
func closeFD(fd int) { _ = unix.Close(fd) }
