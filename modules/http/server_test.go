package http

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/front"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRouter is one handler for everything.
type fakeRouter struct{ http.Handler }

func (f fakeRouter) ForWorker(string) (http.Handler, error) { return f, nil }

func deps(t *testing.T, listen api.Listen) front.Deps {
	t.Helper()
	return front.Deps{
		Doors: &front.Doors{}, Requests: front.NewRequests(), Listen: listen,
		Failed: func(err error) { t.Error(err) }, Log: slog.New(slog.DiscardHandler),
	}
}

// start serves handler on a free port and returns its address.
func start(t *testing.T, cfg Config, handler http.HandlerFunc) string {
	t.Helper()
	address, _ := startServer(t, cfg, handler)
	return address
}

func startServer(t *testing.T, cfg Config, handler http.HandlerFunc) (string, *Server) {
	t.Helper()
	var address string
	cfg.Listen = []string{"127.0.0.1:0"}
	s := New(cfg, fakeRouter{handler}, deps(t, func(_, a string, _ api.SocketFile) (net.Listener, error) {
		l, err := net.Listen("tcp", a)
		if err == nil {
			address = l.Addr().String()
		}
		return l, err
	}))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Switch()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for range 2 { // Stop works twice
			if err := s.Stop(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	return address, s
}

// say sends raw text and returns the first line of what comes back, or the
// error by which the connection ended.
func say(t *testing.T, address, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

func readAll(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	_, _ = io.WriteString(w, "ok")
}

func TestLimits(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxBodySize = 10
	cfg.MaxHeaderSize = 4096
	cfg.ReadTimeout = 50 * time.Millisecond
	cfg.ReadHeaderTimeout = 50 * time.Millisecond
	address := start(t, cfg, readAll)
	for _, c := range []struct{ name, text, want string }{
		{"plain", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK"},
		{"a body at the limit", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789", "HTTP/1.1 200 OK"},
		{"a body announced too large", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", "HTTP/1.1 413 Request Entity Too Large"},
		{"a chunked body too large", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", "HTTP/1.1 418 I'm a teapot"},
		{"a body that stalls", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01", "HTTP/1.1 418 I'm a teapot"},
		{"a head that stalls", "GET / HTTP/1.1\r\nHo", "HTTP/1.1 400 Bad Request"},
		{"a head too large", "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 10000) + "\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large"},
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"},
		{"CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"a length that is none", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n01234", "HTTP/1.1 400 Bad Request"},
		{"two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n01234", "HTTP/1.1 400 Bad Request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := say(t, address, c.text); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A body may take longer than read_timeout as long as it keeps coming.
func TestSlowBodyIsNotCut(t *testing.T) {
	cfg := DefaultConfig()
	cfg.ReadTimeout = 200 * time.Millisecond
	address := start(t, cfg, readAll)
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 8 {
		<-tick.C
		fmt.Fprint(c, "x")
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if !strings.Contains(line, "200 OK") {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestClientThatTakesNothingIsLetGo(t *testing.T) {
	cfg := DefaultConfig()
	cfg.WriteTimeout = 50 * time.Millisecond
	ended := make(chan error, 1)
	address := start(t, cfg, func(w http.ResponseWriter, _ *http.Request) {
		piece := make([]byte, 1<<20)
		for {
			if _, err := w.Write(piece); err != nil {
				ended <- err
				return
			}
		}
	})
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(10 * time.Second):
		t.Error("the handler still writes")
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxConnections = 2
	address := start(t, cfg, readAll)
	first, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	second, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan string, 1)
	go func() { answered <- say(t, address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n") }()
	select {
	case got := <-answered:
		t.Errorf("a third connection was served: %q", got)
	case <-time.After(100 * time.Millisecond):
	}
	_ = first.Close()
	if got := <-answered; got != "HTTP/1.1 200 OK" {
		t.Errorf("got %q", got)
	}
	_ = second.Close()
}

func TestStopWithoutStart(t *testing.T) {
	s := New(DefaultConfig(), fakeRouter{http.NotFoundHandler()}, deps(t, nil))
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStopLetsARunningRequestFinish(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	var server *Server
	var address string
	cfg := DefaultConfig()
	cfg.Listen = []string{"127.0.0.1:0"}
	server = New(cfg, fakeRouter{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(running)
		<-release
		_, _ = io.WriteString(w, "done")
	})}, deps(t, func(_, a string, _ api.SocketFile) (net.Listener, error) {
		l, err := net.Listen("tcp", a)
		address = l.Addr().String()
		return l, err
	}))
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Switch()
	answered := make(chan string, 1)
	go func() { answered <- say(t, address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n") }()
	<-running
	stopped := make(chan error, 1)
	go func() { stopped <- server.Stop(t.Context()) }()
	close(release)
	if got := <-answered; got != "HTTP/1.1 200 OK" {
		t.Errorf("got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A browser connects ahead of its first request; a stop does not wait for it.
func TestStopDoesNotWaitForAConnectionWithoutRequest(t *testing.T) {
	address, server := startServer(t, DefaultConfig(), readAll)
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// It is accepted when another one after it was served.
	if got := say(t, address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); got != "HTTP/1.1 200 OK" {
		t.Fatal(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // net/http would wait 5 s
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// To an HTTP/1.0 client the end of the connection is the end of a response.
func TestBrokenResponseDoesNotLookWhole(t *testing.T) {
	address := start(t, DefaultConfig(), func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
		panic(http.ErrAbortHandler)
	})
	for _, version := range []string{"1.0", "1.1"} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET / HTTP/%s\r\nHost: h\r\n\r\n", version)
		got, err := io.ReadAll(c)
		if whole := bytes.HasSuffix(got, []byte("\r\n0\r\n\r\n")); err == nil && (whole || version == "1.0") {
			t.Errorf("HTTP/%s: %d bytes and a clean end", version, len(got))
		}
		_ = c.Close()
	}
}

// An answer to a request whose body nobody reads comes at once, whether the
// client waits for 100 Continue or sends slowly.
func TestAnswerDoesNotWaitForAnUnreadBody(t *testing.T) {
	address := start(t, DefaultConfig(), http.NotFound)
	for _, head := range []string{"Content-Length: 5\r\nExpect: 100-continue\r\n", "Content-Length: 100000000\r\n"} {
		if got := say(t, address, "PUT / HTTP/1.1\r\nHost: h\r\n"+head+"\r\n"); got != "HTTP/1.1 404 Not Found" {
			t.Errorf("%q: got %q", head, got)
		}
	}
}

func TestRequestID(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Got", api.RequestID(r.Context()))
	}
	for _, c := range []struct {
		header, sent string
		kept         bool
	}{
		{"", "client-made", false},
		{"X-Request-Id", "proxy-made", true},
		{"X-Request-Id", "", false},
		{"X-Request-Id", "not an id", false},
	} {
		cfg := DefaultConfig()
		cfg.RequestIDHeader = c.header
		address := start(t, cfg, answer)
		seen := map[string]bool{}
		for range 2 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Request-Id", c.sent)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			got := res.Header.Get("X-Got")
			if kept := got == c.sent; kept != c.kept || got == "" || !c.kept && (len(got) != 32 || seen[got]) {
				t.Errorf("%+v: %q", c, got)
			}
			seen[got] = true
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
