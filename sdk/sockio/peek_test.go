package sockio_test

import (
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/mevdschee/tqserver/sdk/sockio"
)

func TestPeekTakesNothing(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if n, err := sockio.Peek(b); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("silent: %d, %v", n, err)
	}
	if _, err := a.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := sockio.Peek(b); n != 1 || err != nil {
			t.Errorf("spoken: %d, %v", n, err)
		}
	}
	_, _ = b.Read(make([]byte, 1))
	_ = a.Close()
	if n, err := sockio.Peek(b); n != 0 || err != nil {
		t.Errorf("ended: %d, %v", n, err)
	}
	_ = b.Close()
	if n, err := sockio.Peek(b); err == nil {
		t.Errorf("closed: %d", n)
	}
	p, q := net.Pipe()
	defer p.Close()
	defer q.Close()
	if n, err := sockio.Peek(p); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no socket: %d, %v", n, err)
	}
}
