package listen

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// passing opens a listener as a process would that starts another, and returns
// its file.
func passing(t *testing.T, network, address string) *os.File {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return f
}

// What connects while the first server ends waits for the second.
func TestInheritedSocketsKeepTheirQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	unixFile, tcpFile := passing(t, "unix", path), passing(t, "tcp", "127.0.0.1:0")
	inherit := func() *Set {
		s := NewSet(slog.New(slog.DiscardHandler))
		var dups []*os.File
		for _, f := range []*os.File{unixFile, tcpFile} {
			l, err := net.FileListener(f)
			if err != nil {
				t.Fatal(err)
			}
			dup, err := l.(interface{ File() (*os.File, error) }).File()
			if err != nil {
				t.Fatal(err)
			}
			_ = l.Close()
			dups = append(dups, dup)
		}
		if err := s.Inherit(dups); err != nil {
			t.Fatal(err)
		}
		return s
	}
	l, err := net.FileListener(tcpFile)
	if err != nil {
		t.Fatal(err)
	}
	tcp := l.Addr().String()
	_ = l.Close()

	first := inherit()
	if got := first.Unused(); len(got) != 2 || !strings.Contains(got[1], tcp) {
		t.Errorf("unused: %q", got)
	}
	for _, address := range []string{"unix:" + path, tcp} {
		h := mustListen(t, first, address, Options{Mode: 0o600})
		dial(t, h.Addr())
		if _, err := accept(t, h); err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		dial(t, h.Addr()) // nobody accepts, nobody refuses
		if _, err := accept(t, mustListen(t, first, address, Options{})); err != nil {
			t.Errorf("taken again: %v", err)
		}
	}
	if got := first.Unused(); len(got) != 0 {
		t.Errorf("unused: %q", got)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	waiting := dial(t, &net.UnixAddr{Net: "unix", Name: path})
	if _, err := waiting.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	second := inherit()
	c, err := accept(t, mustListen(t, second, "unix:"+path, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 8)); n != 1 {
		t.Errorf("%d %v", n, err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the file is not ours to remove: %v", err)
	}
	_, _ = unixFile.Close(), tcpFile.Close()
}

func TestInheritedAddresses(t *testing.T) {
	for _, c := range []struct {
		addr net.Addr
		key  string
		has  bool
	}{
		{&net.TCPAddr{IP: net.IPv6zero, Port: 9000}, ":9000", true},
		{&net.TCPAddr{IP: net.IPv6zero, Port: 9000}, "0.0.0.0:9000", true},
		{&net.TCPAddr{IP: net.IPv6zero, Port: 9000}, "127.0.0.1:9000", false},
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9000}, "127.0.0.1:9000", true},
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9000}, "127.0.0.1:9001", false},
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 9000}, "[::1]:9000", true},
		{&net.UnixAddr{Name: "/run/a"}, "unix:/run/a", true},
		{&net.UnixAddr{Name: "/run/a"}, "unix:/run/b", false},
	} {
		if got := (&inherited{addr: c.addr}).has(c.key); got != c.has {
			t.Errorf("%v for %s: %t", c.addr, c.key, got)
		}
	}
}

func TestInheritRefusesWhatDoesNotListen(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	s := newSet(t)
	if err := s.Inherit([]*os.File{f}); err == nil || !strings.Contains(err.Error(), os.DevNull) {
		t.Errorf("%v", err)
	}
}
