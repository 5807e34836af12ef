package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// inherited is a listening socket that whoever started the process has opened,
// and keeps open: what waits in its queue outlives this process.
type inherited struct {
	file *os.File
	name string
	addr net.Addr
	used bool
}

// listen returns a listener on the socket; the file stays.
func (i *inherited) listen() (net.Listener, error) {
	i.used = true
	return net.FileListener(i.file)
}

// Inherit takes sockets that the process was started with, each a listening
// stream socket, by TCP or unix. Listen uses them instead of opening the address
// that they have. Their files are not removed, and keep mode and group. The files
// belong to the set from here on, and so does an error's.
func (s *Set) Inherit(files []*os.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range files {
		l, err := net.FileListener(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("the socket %s that was passed to the server is none that listens: %w", f.Name(), err), f.Close())
			continue
		}
		s.inherited = append(s.inherited, &inherited{file: f, name: f.Name(), addr: l.Addr()})
		_ = l.Close() // a duplicate
	}
	return errors.Join(errs...)
}

// passed finds the inherited socket of an address. mu is held.
func (s *Set) passed(key string) *inherited {
	for _, i := range s.inherited {
		if i.has(key) {
			return i
		}
	}
	return nil
}

// has says whether the socket listens at the address of the key.
func (i *inherited) has(key string) bool {
	switch addr := i.addr.(type) {
	case *net.UnixAddr:
		path, err := filepath.Abs(addr.Name)
		return err == nil && "unix:"+path == key
	case *net.TCPAddr:
		wanted, err := net.ResolveTCPAddr("tcp", key)
		if err != nil || wanted.Port != addr.Port {
			return false
		}
		// ":80", "0.0.0.0:80" and "[::]:80" are all of systemd's ListenStream=80.
		wild := func(ip net.IP) bool { return ip == nil || ip.IsUnspecified() }
		return wild(wanted.IP) && wild(addr.IP) || wanted.IP.Equal(addr.IP)
	}
	return false
}

// Unused names the inherited sockets that no address has asked for.
func (s *Set) Unused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, i := range s.inherited {
		if !i.used {
			names = append(names, i.name+" ("+i.addr.String()+")")
		}
	}
	return names
}
