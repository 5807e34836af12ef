package fastcgi

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAlive: a kept connection that died is known before a request is lost.
func TestAlive(t *testing.T) {
	networks := map[string]func(t testing.TB) (net.Conn, net.Conn){"unix": socketPair, "tcp": tcpPair}
	for name, makePair := range networks {
		t.Run(name, func(t *testing.T) {
			for _, how := range []string{"closed", "stray bytes"} {
				a, b := makePair(t)
				c := NewConn(a, ConnOptions{})
				if !c.Alive() {
					t.Fatal("not alive")
				}
				if how == "closed" {
					_ = b.Close()
				} else {
					_, _ = io.WriteString(b, "x")
				}
				eventually(t, how, func() bool { return !c.Alive() })
			}
		})
	}
	c, p := application(t, ConnOptions{})
	_ = p.nc.Close()
	err := c.Start(Responder, true, pairs("A", "b"), []byte{})
	var e *Error
	if !errors.As(err, &e) || e.Stage != StageNotSent {
		t.Errorf("Start on a dead connection: %v", err)
	}
}

func tcpPair(tb testing.TB) (net.Conn, net.Conn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a, b
}

// TestFullDuplex: the answer begins, and even ends, before the body does.
func TestFullDuplex(t *testing.T) {
	g := serve(t, HandlerFunc(func(w *ResponseWriter, r *Request) {
		b := make([]byte, 10)
		for {
			n, err := r.Stdin.Read(b)
			_, _ = w.Write(b[:n])
			_ = w.Flush()
			if err != nil {
				return
			}
		}
	}), nil)
	c := NewConn(g.dial().nc, ConnOptions{})
	if err := c.Start(Responder, true, nil, nil); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	for range 20 {
		if _, err := c.WriteStdin([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if n, err := io.ReadFull(c, b[:4]); string(b[:n]) != "ping" {
			t.Fatal(n, err)
		}
	}
	if err := c.CloseStdin(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(b); !errors.Is(err, io.EOF) || !c.Reusable() {
		t.Error(err)
	}

	// An early end leaves STDIN open: the connection is not to be used again.
	d, p := application(t, ConnOptions{})
	_ = d.Start(Responder, true, nil, nil)
	p.send(out("413") + end(0, 0))
	if _, err := io.ReadAll(d); err != nil || d.Reusable() {
		t.Errorf("%v, reusable %v", err, d.Reusable())
	}
}

// TestConnDeadline: a Read that a deadline ended may be repeated.
func TestConnDeadline(t *testing.T) {
	c, p := application(t, ConnOptions{})
	_ = c.Start(Responder, true, nil, []byte{})
	p.send(out("hello")[:10])
	b := make([]byte, 100)
	if n, err := io.ReadFull(c, b[:2]); err != nil {
		t.Fatal(n, err)
	}
	for range 2 {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	_ = c.SetReadDeadline(time.Time{})
	p.send(out("hello")[10:] + end(0, 0))
	if b, err := io.ReadAll(c); string(b) != "llo" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// TestConnAbort is what our server makes of Abort.
func TestConnAbort(t *testing.T) {
	h := newSteered()
	g := serve(t, h, nil)
	c := NewConn(g.dial().nc, ConnOptions{})
	_ = c.Start(Responder, true, pairs("DO", "wait"), []byte{})
	within(t, "start", h.started)
	if err := c.Abort(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); string(b) != ErrAborted.Error() || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if err := c.Abort(); err != nil || !c.Reusable() {
		t.Error(err)
	}
}

// TestConnGetValues asks, and gives up in time.
func TestConnGetValues(t *testing.T) {
	g := serve(t, echoParams, func(s *Server) { s.MaxConns = 7 })
	c := NewConn(g.dial().nc, ConnOptions{})
	got, err := c.GetValues(t.Context())
	want := map[string]string{"FCGI_MAX_CONNS": "7", "FCGI_MAX_REQS": "896", "FCGI_MPXS_CONNS": "1"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if err := c.Start(Responder, true, nil, []byte{}); err != nil {
		t.Error(err)
	}
	if _, err := c.GetValues(t.Context()); err == nil {
		t.Error("values within a request")
	}

	silent, _ := application(t, ConnOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := silent.GetValues(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{raw(typeStdout, 1, "x"), raw(typeGetValuesResult, 0, "\x05"), raw(typeGetValuesResult, 0, strings.Repeat("x", 60_000)), "\x01"} {
		c, p := application(t, ConnOptions{})
		p.send(bad)
		_ = p.nc.(closeWriter).CloseWrite()
		if _, err := c.GetValues(t.Context()); err == nil {
			t.Errorf("%.20q was taken", bad)
		}
	}
}
