package static

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Files sends files. It implements api.FileServer.
type Files struct {
	cacheControl string
	log          *slog.Logger
}

// New returns a server of files.
func New(cfg Config, log *slog.Logger) *Files {
	return &Files{cacheControl: cfg.CacheControl, log: log}
}

// ServeFile answers with the regular file name, an absolute path without
// symlinks (as docroot.Target has it): if somebody puts a symlink on the way
// after that was found, it is not followed.
func (s *Files) ServeFile(w http.ResponseWriter, r *http.Request, name string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed)
		return
	}
	f, info, err := open(name)
	if err != nil {
		status := statusOf(err)
		if status >= http.StatusInternalServerError {
			s.log.Error("static file", "file", name, "error", err)
		}
		fail(w, status)
		return
	}
	defer func() { _ = f.Close() }()
	h := w.Header()
	h.Set("Content-Type", contentType(name, r.URL.Path))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", etag(info))
	if s.cacheControl != "" {
		h.Set("Cache-Control", s.cacheControl)
	}
	// f itself goes in, so that net/http can use sendfile.
	if units := r.Header.Get("Range"); units != "" && !strings.HasPrefix(units, "bytes=") {
		r.Header.Del("Range") // another unit is ignored (RFC 9110, section 14.2)
	}
	http.ServeContent(w, r, "", time.Unix(info.Mtim.Unix()), f)
}

func fail(w http.ResponseWriter, status int) { http.Error(w, http.StatusText(status), status) }

func statusOf(err error) int {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, errNotRegular):
		return http.StatusNotFound
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return http.StatusForbidden
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

var errNotRegular = errors.New("not a regular file")

// open opens name for reading. O_NONBLOCK is for a FIFO that took the file's
// place: opening one waits for a writer.
func open(name string) (*os.File, *unix.Stat_t, error) {
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY
	how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, name, &how)
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Openat2(unix.AT_FDCWD, name, &how)
	}
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		// A kernel before 5.6, or a sandbox: the last name at least is no link.
		fd, err = unix.Open(name, flags, 0)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", name, err)
	}
	var st unix.Stat_t
	switch err = unix.Fstat(fd, &st); {
	case err != nil:
		err = fmt.Errorf("stat %s: %w", name, err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = fmt.Errorf("%s: %w", name, errNotRegular)
	default:
		return os.NewFile(uintptr(fd), name), &st, nil
	}
	_ = unix.Close(fd)
	return nil, nil, err
}

// etag changes with the content as far as the file system shows it. It is weak
// (RFC 9110, 8.8.1) while the file may yet change within the same tick of its
// clock; ranges are not continued over a weak one.
func etag(st *unix.Stat_t) string {
	tag := fmt.Sprintf(`"%x-%x-%x"`, st.Ino, st.Size, st.Mtim.Nano())
	if time.Since(time.Unix(st.Mtim.Unix())) < time.Second {
		return "W/" + tag
	}
	return tag
}

// contentType goes by the file's own name, and by the name that was asked for
// when that says nothing (logo.png -> 5f3a9c).
func contentType(name, urlPath string) string {
	for _, n := range []string{name, urlPath} {
		if t := typeOf(strings.ToLower(path.Ext(n))); t != "" {
			return t
		}
	}
	return octets
}
