package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// networks runs a test at a unix socket and at TCP.
func networks(t *testing.T, f func(t *testing.T, serve func(testing.TB, Handler, func(*Server)) *rig)) {
	t.Helper()
	t.Run("unix", func(t *testing.T) { f(t, serve) })
	t.Run("tcp", func(t *testing.T) { f(t, serveTCP) })
}

type closeWriter interface{ CloseWrite() error }

// TestF28WebServerLeaves: a closed connection ends the context of a request
// that runs, whether its body was complete or not.
func TestF28WebServerLeaves(t *testing.T) {
	networks(t, func(t *testing.T, serve func(testing.TB, Handler, func(*Server)) *rig) {
		t.Helper()
		for name, in := range map[string]string{
			"complete":         request(1, true, "body", "DO", "wait"),
			"body incomplete":  begin(1, Responder, true) + params(1, "DO", "wait") + raw(typeStdin, 1, "x"),
			"params not ended": begin(1, Responder, true) + raw(typeParams, 1, block("DO", "wait")),
			"nothing":          "",
		} {
			t.Run(name, func(t *testing.T) {
				h := newSteered()
				g := serve(t, h, nil)
				p := g.dial()
				p.send(in)
				if strings.Contains(in, "wait") && name != "params not ended" {
					within(t, "start", h.started)
				}
				_ = p.nc.Close()
				if strings.Contains(in, "wait") && name != "params not ended" {
					within(t, "the end of the context", h.ended)
				}
				eventually(t, "no connection", func() bool { return g.Stats().Conns == 0 })
			})
		}
	})
}

// TestF41HalfClose: a web server that ends its side after STDIN still gets its
// answer, even one that takes its time.
func TestF41HalfClose(t *testing.T) {
	networks(t, func(t *testing.T, serve func(testing.TB, Handler, func(*Server)) *rig) {
		t.Helper()
		for _, keep := range []bool{false, true} {
			for _, do := range []string{"read", "block"} {
				t.Run(fmt.Sprint(do, keep), func(t *testing.T) {
					h := newSteered()
					g := serve(t, h, nil)
					p := g.dial()
					p.send(request(1, keep, "body", "DO", do))
					if err := p.nc.(closeWriter).CloseWrite(); err != nil {
						t.Fatal(err)
					}
					within(t, "start", h.started)
					if do == "block" {
						// Longer than it takes to become the reader.
						<-time.After(5 * followAfter)
						close(h.release)
					}
					if a := p.answer(1); !strings.HasSuffix(a.Stdout, fmt.Sprintf("stdin=4:%x", sum([]byte("body")))) {
						t.Errorf("got %+v", a)
					}
					p.closed()
					g.quiet()
				})
			}
		}
	})
}

// TestF30EarlyAnswer: an answer before the body is read arrives, and what is
// still sent does no harm (no reset before the answer is read).
func TestF30EarlyAnswer(t *testing.T) {
	early := HandlerFunc(func(w *ResponseWriter, _ *Request) { _, _ = w.WriteString("Status: 413\r\n\r\ntoo much") })
	networks(t, func(t *testing.T, serve func(testing.TB, Handler, func(*Server)) *rig) {
		t.Helper()
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprint("keep=", keep), func(t *testing.T) {
				g := serve(t, early, nil)
				p := g.dial()
				p.send(begin(1, Responder, keep) + params(1))
				piece := raw(typeStdin, 1, strings.Repeat("x", 60_000))
				for range 500 { // 30 MB before anything is read
					p.send(piece)
				}
				p.send(raw(typeStdin, 1, ""))
				if a := p.answer(1); a.Stdout != "Status: 413\r\n\r\ntoo much" {
					t.Errorf("got %+v", a)
				}
				if keep {
					p.send(request(1, false, ""))
					p.answer(1)
				}
				p.closed()
				g.quiet()
			})
		}
	})
}

// TestF42SlowHead: a request head may take ReadTimeout, however it is
// trickled, and an idle connection IdleTimeout.
func TestF42SlowHead(t *testing.T) {
	t.Run("bytes one at a time are fine", func(t *testing.T) {
		g := serve(t, echoParams, nil)
		p := g.dial()
		for b := range strings.SplitSeq(request(1, true, "abc", "A", "B"), "") {
			p.send(b)
		}
		p.answer(1)
		g.quiet()
	})
	for name, first := range map[string]string{"in a header": "\x01", "in PARAMS": begin(1, Responder, true), "in STDIN": begin(1, Responder, true) + params(1)} {
		t.Run("too slow "+name, func(t *testing.T) {
			g := serve(t, echoParams, func(s *Server) { s.ReadTimeout = 200 * time.Millisecond })
			p := g.dial()
			start := time.Now()
			p.send(first)
			trickle := request(1, true, "abc", "A", "B")[1:]
			if name != "in a header" {
				trickle = strings.Repeat(raw(typeParams, 1, "\x01\x01xy"), 100)
			}
			if name == "in STDIN" {
				trickle = raw(typeStdin, 1, strings.Repeat("x", 1000))
			}
			for i := range trickle {
				if _, err := io.WriteString(p.nc, trickle[i:i+1]); err != nil {
					break
				}
				<-time.After(20 * time.Millisecond)
			}
			g.reported(KindTimeout, "")
			if d := time.Since(start); d > 15*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
	t.Run("idle", func(t *testing.T) {
		g := serve(t, echoParams, func(s *Server) { s.IdleTimeout = 50 * time.Millisecond })
		p := g.dial()
		p.send(request(1, true, ""))
		p.answer(1)
		p.closed()
		g.quiet()
	})
	t.Run("a long answer is no idleness", func(t *testing.T) {
		h := newSteered()
		g := serve(t, h, func(s *Server) { s.IdleTimeout, s.ReadTimeout = 50*time.Millisecond, 50*time.Millisecond })
		p := g.dial()
		p.send(request(1, true, "", "DO", "block"))
		<-time.After(200 * time.Millisecond)
		close(h.release)
		p.answer(1)
		g.quiet()
	})
}

// TestBrokenResponseLooksBroken: after a panic or Abort there is no
// END_REQUEST, and the others on the connection are still answered.
func TestBrokenResponseLooksBroken(t *testing.T) {
	for name, f := range map[string]func(*ResponseWriter){
		"ErrAbortHandler": func(*ResponseWriter) { panic(http.ErrAbortHandler) },
		"panic":           func(*ResponseWriter) { panic("oops") },
		"Abort":           func(w *ResponseWriter) { w.Abort() },
		"Goexit":          func(*ResponseWriter) { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			h := newSteered()
			g := serve(t, HandlerFunc(func(w *ResponseWriter, r *Request) {
				if r.Params.Get("DO") != "" {
					h.ServeFastCGI(w, r)
					return
				}
				_, _ = w.WriteString("Content-Type: text/html\r\n\r\nhalf")
				_ = w.Flush()
				f(w)
			}), nil)
			p := g.dial()
			p.send(request(1, true, ""))
			rs, _ := p.all()
			if len(rs) != 1 || rs[0].Kind != typeStdout {
				t.Errorf("alone: %v", rs)
			}
			p = g.dial()
			p.send(request(2, true, "x", "DO", "block"))
			within(t, "start", h.started)
			p.send(request(1, true, ""))
			if r := p.recv(); r.ID != 1 || r.Kind != typeStdout {
				t.Errorf("got %v", r)
			}
			close(h.release)
			p.answer(2)
			p.brokenOff()
			if name == "panic" {
				g.reported(KindPanic, "oops")
			}
		})
	}
}

// TestShutdown: idle connections close at once, running requests finish, and
// Shutdown waits for them.
func TestShutdown(t *testing.T) {
	h := newSteered()
	g := serve(t, h, nil)
	idle, used, busy := g.dial(), g.dial(), g.dial()
	used.send(request(1, true, "", "DO", "read"))
	used.answer(1)
	within(t, "start", h.started)
	busy.send(request(1, true, "x", "DO", "block"))
	within(t, "start", h.started)
	eventually(t, "three connections", func() bool { return g.Stats().Conns == 3 })

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := g.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("first Shutdown: %v", err)
	}
	idle.closed()
	used.closed()
	if _, err := net.Dial("unix", g.l.Addr().String()); err == nil {
		t.Error("still listening")
	}
	// A request on a connection that ends is refused, not lost silently.
	busy.send(request(2, true, ""))
	if a := busy.answer(2); a.Status != Overloaded {
		t.Errorf("late request: %+v", a)
	}
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(t.Context()) }()
	close(h.release)
	busy.answer(1)
	busy.closed()
	if err := within(t, "Shutdown", done); err != nil {
		t.Errorf("second Shutdown: %v", err)
	}
	if err := g.Serve(g.l); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// TestClose ends the contexts of what runs.
func TestClose(t *testing.T) {
	h := newSteered()
	g := serve(t, h, nil)
	p := g.dial()
	p.send(request(1, true, "", "DO", "wait"))
	within(t, "start", h.started)
	_ = g.Close()
	within(t, "end", h.ended)
	p.closed()
}

// TestMaxConns: one connection too many is closed at once.
func TestMaxConns(t *testing.T) {
	g := serve(t, echoParams, func(s *Server) { s.MaxConns = 1 })
	p := g.dial()
	p.send(request(1, true, ""))
	p.answer(1)
	g.dial().closed()
	g.reported(KindRefused, "too many")
	_ = p.nc.Close()
	eventually(t, "room", func() bool { return g.Stats().Conns == 0 })
	p = g.dial()
	p.send(request(1, true, ""))
	p.answer(1)
}

// TestF03AllowedPeers: other addresses than those allowed are closed.
func TestF03AllowedPeers(t *testing.T) {
	allow, err := AllowAddrs("127.0.0.1, ::1,10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	g := serveTCP(t, echoParams, func(s *Server) { s.AllowConn = allow })
	p := g.dial()
	p.send(request(1, true, ""))
	p.answer(1)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	nc, err := d.DialContext(t.Context(), "tcp", g.l.Addr().String())
	if err != nil {
		t.Skip("127.0.0.2 is not at hand here:", err)
	}
	newPeer(t, nc).closed()
	g.reported(KindRefused, "not allowed")
	for _, bad := range []string{"", "localhost", "1.2.3.4,", "1.2.3.4/40"} {
		if _, err := AllowAddrs(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
