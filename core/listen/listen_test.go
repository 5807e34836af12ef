package listen

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// bindEnv makes the test binary bind the path it holds and sleep: a second
// server, to be killed.
const bindEnv = "LISTEN_TEST_BIND"

func TestMain(m *testing.M) {
	if path := os.Getenv(bindEnv); path != "" {
		l, err := NewSet(slog.New(slog.DiscardHandler)).Listen("unix:"+path, Options{})
		if err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			return
		}
		os.Stdout.WriteString("ready\n")
		_, _ = io.Copy(io.Discard, os.Stdin) // until killed, or the test is gone
		_ = l.Close()
		return
	}
	goleak.VerifyTestMain(m)
}

func newSet(t *testing.T) *Set {
	t.Helper()
	s := NewSet(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func mustListen(t *testing.T, s *Set, address string, o Options) net.Listener {
	t.Helper()
	l, err := s.Listen(address, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// accept runs Accept with a deadline.
func accept(t *testing.T, l net.Listener) (net.Conn, error) {
	t.Helper()
	type result struct {
		c   net.Conn
		err error
	}
	got := make(chan result, 1)
	go func() {
		c, err := l.Accept()
		got <- result{c, err}
	}()
	select {
	case r := <-got:
		if r.c != nil {
			t.Cleanup(func() { r.c.Close() })
		}
		return r.c, r.err
	case <-time.After(5 * time.Second):
		t.Fatal("accept did not return")
		return nil, nil
	}
}

func TestNextGenerationTakesOver(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "a.sock")} {
		t.Run(address[:4], func(t *testing.T) {
			s := newSet(t)
			first := mustListen(t, s, address, Options{})
			if address == "127.0.0.1:0" {
				address = first.Addr().String()
			}
			second := mustListen(t, s, address, Options{})
			if s.Addresses() != 1 {
				t.Fatalf("%d sockets, want 1", s.Addresses())
			}

			blocked := make(chan error, 1)
			go func() {
				_, err := first.Accept()
				blocked <- err
			}()
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-blocked:
				if !errors.Is(err, net.ErrClosed) {
					t.Fatalf("accept on a closed handle: %v", err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("accept on a closed handle did not return")
			}
			if _, err := accept(t, first); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("accept after close: %v", err)
			}

			dial(t, second.Addr())
			if _, err := accept(t, second); err != nil {
				t.Fatalf("the other handle: %v", err)
			}
			if err := errors.Join(first.Close(), second.Close(), second.Close()); err != nil {
				t.Fatal(err)
			}
			if s.Addresses() != 0 {
				t.Fatal("the socket is still open")
			}
			if _, err := net.DialTimeout(second.Addr().Network(), second.Addr().String(), time.Second); err == nil {
				t.Fatal("the address still takes connections")
			}
			if path, ok := strings.CutPrefix(address, "unix:"); ok {
				if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("the file is left: %v", err)
				}
			}
			mustListen(t, s, address, Options{}) // and again
		})
	}
}

// A connection made at any moment of a hundred takeovers is served.
func TestTakeoverLosesNoConnection(t *testing.T) {
	s := newSet(t)
	serve := func(l net.Listener, wg *sync.WaitGroup) {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("x"))
			c.Close()
		}
	}
	var servers, clients sync.WaitGroup
	current := mustListen(t, s, "127.0.0.1:0", Options{})
	servers.Add(1)
	go serve(current, &servers)
	addr := current.Addr().String()

	var stop atomic.Bool
	var served atomic.Int64
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				c, err := net.DialTimeout("tcp", addr, 5*time.Second)
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				if b, err := io.ReadAll(c); err != nil || string(b) != "x" {
					t.Errorf("read %q, %v", b, err)
				}
				c.Close()
				served.Add(1)
			}
		})
	}
	for i := range int64(100) {
		next := mustListen(t, s, addr, Options{})
		servers.Add(1)
		go serve(next, &servers)
		if err := current.Close(); err != nil {
			t.Error(err)
		}
		current = next
		for deadline := time.Now().Add(10 * time.Second); served.Load() < 4*i && !t.Failed() && time.Now().Before(deadline); {
			<-time.After(time.Millisecond) // a poll with a deadline
		}
	}
	stop.Store(true)
	clients.Wait()
	current.Close()
	servers.Wait()
}

// Port 0 is another port each time.
func TestAnyPort(t *testing.T) {
	s := newSet(t)
	first, second := mustListen(t, s, "127.0.0.1:0", Options{}), mustListen(t, s, "127.0.0.1:0", Options{})
	if first.Addr().String() == second.Addr().String() {
		t.Errorf("both on %v", first.Addr())
	}
}

// starved fails with EMFILE until fed.
type starved struct {
	net.Listener
	fed   atomic.Bool
	tries atomic.Int64
}

func (l *starved) Accept() (net.Conn, error) {
	if !l.fed.Load() {
		l.tries.Add(1)
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestOutOfDescriptors(t *testing.T) {
	var log lockedBuffer
	s := NewSet(slog.New(slog.NewTextHandler(&log, nil)))
	inner, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &starved{Listener: inner}
	s.mu.Lock()
	sock := newShared(s, "k", "127.0.0.1:0", l, nil, false)
	s.open[sock] = struct{}{}
	h := sock.handle(Options{})
	s.mu.Unlock()

	dial(t, inner.Addr())
	start := time.Now()
	for l.tries.Load() < 5 && time.Since(start) < 5*time.Second {
		<-time.After(time.Millisecond) // a poll with a deadline
	}
	// Pauses of 5, 10, 20 and 40 ms lie between five tries.
	if d := time.Since(start); d < 70*time.Millisecond {
		t.Errorf("five tries within %v: no back-off", d)
	}
	l.fed.Store(true)
	if _, err := accept(t, h); err != nil {
		t.Fatalf("not recovered: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d log lines, want 1:\n%s", n, log.String())
	}
}

func TestCloseDuringBackOff(t *testing.T) {
	s := NewSet(slog.New(slog.DiscardHandler))
	inner, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &starved{Listener: inner}
	s.mu.Lock()
	sock := newShared(s, "k", "a", l, nil, false)
	s.open[sock] = struct{}{}
	h := sock.handle(Options{})
	s.mu.Unlock()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
