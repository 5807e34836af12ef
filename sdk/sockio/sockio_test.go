package sockio

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a connection and its other end.
func pair(t *testing.T, network string) (near, far net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	if network == "pipe" {
		near, far = net.Pipe()
	} else {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if near, err = net.Dial(network, l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if far, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

func TestBytesGoThroughBothWays(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "pipe"} {
		t.Run(network, func(t *testing.T) {
			near, far := pair(t, network)
			a, b := New(near), New(far)
			sent := make([]byte, 3<<20) // above what a socket takes at once
			_, _ = rand.Read(sent)
			var all sync.WaitGroup
			for _, c := range []struct{ from, to *Conn }{{a, b}, {b, a}} {
				all.Go(func() {
					if n, err := c.from.Write(sent); n != len(sent) || err != nil {
						t.Errorf("wrote %d, %v", n, err)
					}
				})
				all.Go(func() {
					got := make([]byte, len(sent))
					if _, err := io.ReadFull(c.to, got); err != nil || !bytes.Equal(got, sent) {
						t.Errorf("other bytes, %v", err)
					}
				})
			}
			all.Wait()
			_ = far.Close()
			if n, err := a.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %d, %v", n, err)
			}
		})
	}
}

func TestErrorsAreThoseOfTheConnection(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			near, far := pair(t, network)
			c := New(near)
			_ = near.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after the deadline: %v", err)
			}
			if n, err := c.Read(nil); n != 0 || err != nil {
				t.Errorf("no bytes: %d, %v", n, err)
			}
			_ = near.SetDeadline(time.Time{})
			waits := make(chan error, 1)
			go func() {
				_, err := c.Read(make([]byte, 1))
				waits <- err
			}()
			_ = far.Close()
			if err := <-waits; !errors.Is(err, io.EOF) {
				t.Errorf("the other end closed: %v", err)
			}
			var err error
			for range 1000 { // TCP's reset takes a moment
				if _, err = c.Write([]byte("x")); err != nil {
					break
				}
			}
			if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("writing to a closed end: %v", err)
			}
			_ = near.Close()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed: %v", err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed: %v", err)
			}
		})
	}
}

func TestCloseEndsAWaitingCall(t *testing.T) {
	near, _ := pair(t, "unix")
	c := New(near)
	ended := make(chan error, 2)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	go func() {
		_, err := c.Write(make([]byte, 16<<20)) // nobody reads
		ended <- err
	}()
	tick := time.NewTimer(10 * time.Millisecond)
	<-tick.C
	_ = near.Close()
	for range 2 {
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

// Neither call allocates.
func TestCallsCostNoAllocation(t *testing.T) {
	near, far := pair(t, "unix")
	a, b := New(near), New(far)
	buf := make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = a.Write(buf)
		_, _ = b.Read(buf)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
