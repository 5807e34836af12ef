package e2e

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHTTPBodyLimit(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{sets: []string{"http.max_body_size=100KiB", "fastcgi.max_body_size=100KiB"}})
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			for _, chunked := range []bool{false, true} {
				for size, want := range map[int]int{100 << 10: 200, 100<<10 + 1: 413} {
					var body io.Reader = bytes.NewReader(noise(size))
					if chunked {
						body = io.MultiReader(body)
					}
					a, err := do(newClient(t), "POST", f.url("/echo.php"), body, "Content-Type", "application/octet-stream")
					if err != nil || a.StatusCode != want {
						t.Errorf("%d bytes, chunked %t: want %d, have %v %v", size, chunked, want, err, a.Response)
					}
				}
			}
		})
	}
}

func TestHTTPExpect100Continue(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	c := dial(t, "tcp", s.http)
	r := bufio.NewReader(c)
	_, _ = io.WriteString(c, "POST /echo.php HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("%q, %v", line, err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = io.WriteString(c, "abcde")
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%v %v", err, res)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), sum([]byte("abcde"))) {
		t.Errorf("%v %q", err, text)
	}
}

func TestHTTP10(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	c := dial(t, "tcp", s.http)
	_, _ = io.WriteString(c, "GET /big.php?blocks=4 HTTP/1.0\r\n\r\n")
	all, err := io.ReadAll(c)
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if err != nil || !strings.Contains(head, " 200 ") || strings.Contains(strings.ToLower(head), "transfer-encoding") || len(body) != 4<<16 {
		t.Errorf("%v, %d bytes of body, head %q", err, len(body), head)
	}
}

func TestHTTPByUnixSocket(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{sets: []string{`http.listen=["unix:h.sock", "127.0.0.1:0"]`}})
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.path("h.sock"))
	}}}
	if a := must(t, c, 200, "GET", "http://localhost/answer.php?body=unix", nil); a.body != "unix" {
		t.Errorf("%q", a.body)
	}
	if mode := mustMode(t, s.path("h.sock")); mode != 0o660 {
		t.Errorf("mode %o", mode)
	}
}

// A response that is shorter than it promised must not pass for whole.
func TestScriptThatSendsLessThanItsContentLength(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{
		"workers/app/public/less.php": "<?php header('Content-Length: 100000'); echo str_repeat('x', 50000);",
		"workers/app/public/more.php": "<?php header('Content-Length: 5'); echo 'abcdefgh';",
	}})
	s.allow("less than its Content-Length")
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			c.Timeout = 5 * time.Second
			a, err := do(c, "GET", f.url("/less.php"), nil)
			if err == nil && a.StatusCode == 200 {
				t.Errorf("%d bytes look complete: %v", len(a.body), a.Response)
			}
			if netErr, ok := err.(net.Error); ok && netErr.Timeout() { //nolint:errorlint // *url.Error is one itself
				t.Errorf("the client still waits: %v", err)
			}
			if a := must(t, newClient(t), 200, "GET", f.url("/more.php"), nil); a.body != "abcde" {
				t.Errorf("%q", a.body)
			}
			must(t, newClient(t), 200, "GET", f.url("/answer.php"), nil)
		})
	}
}
