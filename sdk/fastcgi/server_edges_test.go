package fastcgi

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/sdk/sockio"
)

// A goroutine that still reads STDIN when the handler gave up must end.
func TestReaderLeftBehindEndsWithTheRequest(t *testing.T) {
	back := make(chan error, 1)
	g := serve(t, HandlerFunc(func(w *ResponseWriter, r *Request) {
		go func() {
			_, err := r.Stdin.Read(make([]byte, 100))
			back <- err
		}()
		eventually(t, "pumping", func() bool {
			r.conn.mu.Lock()
			defer r.conn.mu.Unlock()
			return r.conn.reading
		})
		w.Abort()
	}), nil)
	p := g.dial()
	p.send(begin(1, Responder, true) + params(1))
	p.brokenOff()
	if err := within(t, "the end of the read", back); err == nil {
		t.Error("it read something")
	}
}

// Single bytes of a record outside of a request do not keep a connection.
func TestSlowRecordOutsideOfARequestIsCut(t *testing.T) {
	g := serve(t, HandlerFunc(dump), func(s *Server) { s.IdleTimeout, s.ReadTimeout = 400*time.Millisecond, 200*time.Millisecond })
	p := g.dial()
	p.send(raw(typeGetValues, 0, strings.Repeat("x", 4000))[:8])
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		<-tick.C
		if _, err := io.WriteString(p.nc, "x"); err != nil {
			return
		}
	}
	t.Error("still open after 5 s; ReadTimeout is 0.2 s, IdleTimeout 0.4 s")
}

// What a handler takes to read is not the web server's time.
func TestSlowHandlerDoesNotCutABodyThatWasSent(t *testing.T) {
	got := make(chan error, 1)
	g := serve(t, HandlerFunc(func(_ *ResponseWriter, r *Request) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for b := make([]byte, 2048); ; <-tick.C {
			if _, err := r.Stdin.Read(b); err != nil {
				got <- err
				return
			}
		}
	}), func(s *Server) { s.ReadTimeout, s.MaxStdinBuffer = 200*time.Millisecond, 8<<10 })
	g.dial().send(request(1, true, strings.Repeat("x", 65528)))
	if err := within(t, "the end of the body", got); err != io.EOF { //nolint:errorlint // the plain end
		t.Error(err)
	}
}

// Part of an answer was taken: it must not look as if it could be sent again.
func TestRefusalBehindAnAnswerIsBroken(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	c := NewConn(a, ConnOptions{})
	defer c.Close()
	go func() {
		_, _ = b.Read(make([]byte, 4096))
		out := appendRecord(nil, typeStdout, 1, []byte("Status: 200\r\n\r\npart"))
		_, _ = b.Write(appendEnd(out, 1, 0, Overloaded))
	}()
	if err := c.Start(Responder, true, pairs("A", "B"), []byte{}); err != nil {
		t.Fatal(err)
	}
	_, err := io.ReadAll(c)
	var e *Error
	if !errors.As(err, &e) || e.Stage != StageBroken {
		t.Errorf("got %v", err)
	}
}

// A request that was sent before a shutdown is served, wherever the shutdown
// meets it.
func TestShutdownLosesNoRequestThatWasSent(t *testing.T) {
	for i := range 100 {
		g := serve(t, HandlerFunc(func(w *ResponseWriter, _ *Request) { _, _ = w.WriteString("Status: 200\r\n\r\n") }), nil)
		p := g.dial()
		p.send(request(1, true, ""))
		p.answer(1)
		p.send(request(1, true, ""))
		for until := time.Now().Add(time.Duration(i%40) * time.Microsecond); time.Now().Before(until); {
			continue // shorter than any timer
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := g.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		if _, err := p.next(); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

// lateConn is a connection whose first read finds its deadline passed when there
// is something to read.
type lateConn struct {
	net.Conn
	once sync.Once
}

func (c *lateConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn() //nolint:forcetypeassert // a socket
}

func (c *lateConn) Read(p []byte) (int, error) {
	late := false
	c.once.Do(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := sockio.Peek(c.Conn); err == nil {
				late = true
				return
			}
		}
	})
	if late {
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Read(p)
}

// lateListener accepts lateConns.
type lateListener struct{ net.Listener }

func (l lateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &lateConn{Conn: c}, err
}

// A request that came while the process was stopped is served.
func TestRequestThatCameBeforeItsDeadlineWasSeen(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	g := serveAt(t, lateListener{l}, echoParams, nil)
	p := g.dial()
	for range 2 {
		p.send(request(1, true, ""))
		p.answer(1)
	}
	g.quiet()
}
