package backend

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/sdk"
)

// rawUpstream is an HTTP endpoint that does as serve says with each connection,
// and counts them.
func rawUpstream(t *testing.T, serve func(c net.Conn, r *bufio.Reader)) (sdk.Endpoint, *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	var conns atomic.Int32
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			all.Go(func() {
				defer func() { _ = c.Close() }()
				serve(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return sdk.Endpoint{ID: "raw", Network: "unix", Address: l.Addr().String(), MaxConcurrent: 4, Protocol: sdk.HTTP}, &conns
}

// takeRequest reads the head of a request.
func takeRequest(r *bufio.Reader) bool {
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return err == nil
		}
	}
}

// hold waits for the end of the connection.
func hold(r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }

func TestHTTPUpstreamFaults(t *testing.T) {
	for name, c := range map[string]struct {
		serve   func(c net.Conn, r *bufio.Reader)
		status  int
		broken  bool // the answer begins and breaks off
		outcome outcome
	}{
		"closes before the first byte": {
			serve: func(_ net.Conn, r *bufio.Reader) { takeRequest(r) }, status: http.StatusBadGateway, outcome: outcomeCrashed,
		},
		"closes in the head": {
			serve: func(c net.Conn, r *bufio.Reader) {
				takeRequest(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-")
			},
			status: http.StatusBadGateway, outcome: outcomeFailed, // a line that is cut is malformed to net/http
		},
		"half of its length": {
			serve: func(c net.Conn, r *bufio.Reader) {
				takeRequest(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			},
			status: http.StatusOK, broken: true, outcome: outcomeCrashed,
		},
		"no last chunk": {
			serve: func(c net.Conn, r *bufio.Reader) {
				takeRequest(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
			},
			status: http.StatusOK, broken: true, outcome: outcomeCrashed,
		},
		"never answers": {
			serve:  func(_ net.Conn, r *bufio.Reader) { hold(r) },
			status: http.StatusGatewayTimeout, outcome: outcomeTimedOut,
		},
		"never ends": {
			serve: func(c net.Conn, r *bufio.Reader) {
				takeRequest(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
				hold(r)
			},
			status: http.StatusOK, broken: true, outcome: outcomeTimedOut,
		},
		"nonsense": {
			serve: func(c net.Conn, r *bufio.Reader) {
				takeRequest(r)
				_, _ = io.WriteString(c, "220 mail.example.org ESMTP\r\n\r\n")
				hold(r)
			},
			status: http.StatusBadGateway, outcome: outcomeFailed,
		},
		"a head without end": {
			serve: func(c net.Conn, r *bufio.Reader) {
				takeRequest(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 100))
				hold(r)
			},
			status: http.StatusBadGateway, outcome: outcomeFailed,
		},
		"informs without end": {
			serve: func(c net.Conn, r *bufio.Reader) {
				takeRequest(r)
				_, _ = io.WriteString(c, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 2*interimMost))
				hold(r)
			},
			status: http.StatusBadGateway, outcome: outcomeFailed,
		},
		"upgrades unasked": {
			serve: func(c net.Conn, r *bufio.Reader) {
				takeRequest(r)
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
				hold(r)
			},
			status: http.StatusBadGateway, outcome: outcomeFailed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, conns := rawUpstream(t, c.serve)
			front, w := poolFront(t, e, func(p *poolSettings) { p.RequestTimeout = 300 * time.Millisecond })
			if c.outcome != outcomeTimedOut {
				w.pool.config.RequestTimeout = time.Minute
			}
			res, err := front.Client().Get(front.URL)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode != c.status || (err != nil) != c.broken {
				t.Errorf("%s, %v", res.Status, err)
			}
			await(t, func() bool { return w.pool.stats.ended[c.outcome].Load() == 1 })
			if n := conns.Load(); n != 1 {
				t.Errorf("sent %d times", n)
			}
			await(t, w.pool.empty)
		})
	}
}

// A process may close an idle connection whenever it likes: no request is lost.
func TestHTTPUpstreamThatClosesIdleConnections(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\nok"
	get := func(t *testing.T, url string) {
		t.Helper()
		res, err := http.Post(url, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if got, err := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || string(got) != "ok" {
			t.Fatalf("%s %q %v", res.Status, got, err)
		}
	}
	t.Run("unsaid", func(t *testing.T) {
		e, _ := rawUpstream(t, func(c net.Conn, r *bufio.Reader) {
			if takeRequest(r) {
				_, _ = r.Discard(1)
				_, _ = fmt.Fprintf(c, answer, "")
			}
		})
		front, w := poolFront(t, e, func(*poolSettings) {})
		for range 20 {
			get(t, front.URL)
			await(t, func() bool { // else the close may cross the next request, which was sent then
				w.pool.mu.Lock()
				defer w.pool.mu.Unlock()
				return len(w.pool.set.idle) == 0 || !w.pool.set.idle[0].Alive()
			})
		}
	})
	for header, want := range map[string]int32{"Keep-Alive: timeout=1": 3, "Keep-Alive: timeout=60, max=5": 1, "Connection: close": 3} {
		t.Run(header, func(t *testing.T) {
			e, conns := rawUpstream(t, func(c net.Conn, r *bufio.Reader) {
				for takeRequest(r) {
					_, _ = r.Discard(1)
					_, _ = fmt.Fprintf(c, answer, header+"\r\n")
				}
			})
			front, w := poolFront(t, e, func(*poolSettings) {})
			for range 3 {
				get(t, front.URL)
				await(t, func() bool { // the client has its answer a moment before the connection is back
					w.pool.mu.Lock()
					defer w.pool.mu.Unlock()
					return w.pool.open == len(w.pool.set.idle)
				})
			}
			if n := conns.Load(); n != want {
				t.Errorf("%d connections, want %d", n, want)
			}
		})
	}
}

// The next connection is tried for a request of which nothing was sent.
func TestHTTPRequestThatWasNotSentIsSentAgain(t *testing.T) {
	over := make(chan struct{})
	e, conns := rawUpstream(t, func(c net.Conn, r *bufio.Reader) {
		for takeRequest(r) {
			_, _ = r.Discard(len("body"))
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		}
		<-over
	})
	t.Cleanup(func() { close(over) })
	front, w := poolFront(t, e, func(*poolSettings) {})
	get := func() {
		res, err := front.Client().Post(front.URL, "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusNoContent {
			t.Fatal(res.Status)
		}
	}
	get()
	await(t, func() bool {
		w.pool.mu.Lock()
		defer w.pool.mu.Unlock()
		return len(w.pool.set.idle) == 1
	})
	w.pool.mu.Lock()
	idle := w.pool.set.idle[0].http
	w.pool.mu.Unlock()
	_ = idle.nc.(*net.UnixConn).CloseWrite() // the next write fails, as after a close that was not seen
	get()
	replayed := w.pool.stats.replayed.Load()
	if replayed != 1 || conns.Load() != 2 {
		t.Errorf("replayed %d times over %d connections", replayed, conns.Load())
	}
}

// A client that stalls in its upload is told at once when the process has died.
func TestHTTPProcessDiesWhileTheClientStalls(t *testing.T) {
	e, _ := rawUpstream(t, func(_ net.Conn, r *bufio.Reader) {
		takeRequest(r)
		_, _ = r.ReadByte()
	})
	front, _ := poolFront(t, e, func(p *poolSettings) { p.RequestTimeout = time.Hour })
	c, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"+strings.Repeat("x", 50))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusBadGateway {
		t.Error(res.Status)
	}
}

func TestHTTPHeaders(t *testing.T) {
	var got http.Header
	front := streamWorker(t, sdk.HTTP, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		got.Set("Host", r.Host)
		h := w.Header()
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "1")
		h.Set("Keep-Alive", "timeout=60")
		h.Set("Proxy-Authenticate", "Basic")
		h["Set-Cookie"] = []string{"a=1", "b=2"}
		h.Set("X-End", "to end")
	})
	c, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, strings.Join([]string{
		"GET / HTTP/1.1", "Host: example.org:81", "Connection: close, X-Secret, Upgrade", "X-Secret: 1", "Keep-Alive: 5", "TE: gzip, trailers",
		"Proxy: http://evil", "Proxy-Authorization: x", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X_Forwarded_For: 1.2.3.4",
		"X-Forwarded-Ssl: on", "Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4", "X-Request-ID: mine", "Upgrade: h2c", "X-End: a", "X-End: b",
		"Cookie: c=d", "Expect: 100-continue", "", "",
	}, "\r\n"))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	want := http.Header{
		"Host": {"example.org:81"}, "X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"example.org:81"}, "X-Forwarded-Proto": {"http"},
		"Te": {"trailers"}, "X-End": {"a", "b"}, "Cookie": {"c=d"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("the request:", diff)
	}
	res.Header.Del("Date")
	want = http.Header{"Set-Cookie": {"a=1", "b=2"}, "X-End": {"to end"}, "Content-Length": {"0"}}
	if diff := cmp.Diff(want, res.Header); diff != "" {
		t.Error("the response:", diff)
	}
}
