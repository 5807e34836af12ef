package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// DefaultMode is the mode of a unix socket for which none is asked, that of
// PHP-FPM's listen.mode.
const DefaultMode fs.FileMode = 0o660

// Options of a listening socket.
type Options struct {
	// Mode of a unix socket's file; 0 means DefaultMode. It is not used for TCP.
	Mode fs.FileMode
	// Owner and Group the file belongs to, by name; empty leaves them the process's own.
	Owner, Group string
	// Vital accepts connections with the last file descriptors, too, which are
	// kept for requests otherwise: for the few who look after the server.
	Vital bool
}

// Set is the listening sockets that are open, by address. Its methods may be
// called from several goroutines.
type Set struct {
	log         *slog.Logger
	descriptors descriptors

	mu        sync.Mutex
	open      map[*shared]struct{}
	inherited []*inherited
}

// NewSet returns an empty set. Failures to accept are logged to log.
func NewSet(log *slog.Logger) *Set {
	return &Set{log: log, descriptors: newDescriptors(), open: map[*shared]struct{}{}}
}

// Listen opens address, "host:port" or "unix:path", or returns another handle on
// the socket if it is open in this set; a unix socket then gets the mode asked
// for now, until this handle is closed before an older one. Handles of one address share its connections: that two parts of one
// configuration do not ask for the same address is for the caller to see to.
//
// Port 0 opens a socket on a port that the kernel chooses, another one each time;
// the address of its handle is what shares it.
//
// The file of a dead unix socket is replaced, one that was removed by hand is made
// anew; a live one, and a path that is no
// socket, is an error. Listen waits at most a few seconds.
func (s *Set) Listen(address string, o Options) (net.Listener, error) {
	if o.Mode == 0 {
		o.Mode = DefaultMode
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, path, isUnix, err := parse(address)
	if err != nil {
		return nil, err
	}
	if sock := s.find(key); sock != nil && !anyPort(address) {
		if sock.file != nil {
			if err := sock.file.grant(o); err != nil {
				return nil, fmt.Errorf("listen on %s: %w", address, err)
			}
		}
		return sock.handle(o), nil
	}
	var listener net.Listener
	var file *socketFile
	switch passed := s.passed(key); {
	case passed != nil:
		listener, err = passed.listen()
	case isUnix:
		listener, file, err = listenUnix(path, o)
	default:
		listener, err = listenTCP(address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if anyPort(address) {
		key = listener.Addr().String()
	}
	sock := newShared(s, key, address, listener, file, o.Vital)
	s.open[sock] = struct{}{}
	return sock.handle(o), nil
}

// find returns the open socket of key, nil if there is none; one whose file
// somebody has removed is reached by nobody, and does not count.
func (s *Set) find(key string) *shared {
	for sock := range s.open {
		if sock.key == key && (sock.file == nil || sock.file.isOurs()) {
			return sock
		}
	}
	return nil
}

// Addresses returns how many sockets are open, for tests and status pages.
func (s *Set) Addresses() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Close closes every handle and so every socket. It may be called twice.
func (s *Set) Close() error {
	s.mu.Lock()
	var handles []*handle
	for sock := range s.open {
		handles = append(handles, sock.handles...)
	}
	passed := s.inherited
	s.inherited = nil
	s.mu.Unlock()
	var errs []error
	for _, h := range handles {
		errs = append(errs, h.Close())
	}
	for _, p := range passed {
		errs = append(errs, p.file.Close())
	}
	return errors.Join(errs...)
}

// parse splits an address and returns the key that is the same for all ways to
// write one unix path.
func parse(address string) (key, path string, isUnix bool, err error) {
	path, isUnix = strings.CutPrefix(address, "unix:")
	if !isUnix {
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			return "", "", false, fmt.Errorf("listen on %q: write host:port or unix:path", address)
		}
		return address, "", false, nil
	}
	if path == "" || path[0] == '@' || strings.ContainsRune(path, 0) {
		return "", "", true, fmt.Errorf("listen on %q: write unix: and the path of a file", address)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", "", true, fmt.Errorf("listen on %s: %w", address, err)
	}
	return "unix:" + absolute, path, true, nil
}

// anyPort says whether the kernel chooses the port, another one each time.
func anyPort(address string) bool {
	return !strings.HasPrefix(address, "unix:") && strings.HasSuffix(address, ":0")
}

func listenTCP(address string) (net.Listener, error) {
	var lc net.ListenConfig
	// Nothing here waits but the look-up of a name, which the resolver bounds.
	l, err := lc.Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("another program has this port (ss -ltnp shows which): %w", err)
	}
	return l, err
}
