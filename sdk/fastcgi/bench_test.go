package fastcgi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
)

// The benchmarks compare, over the same kind of unix socket: this package with
// a plain Handler ("tq"), with an http.Handler ("tq-http"), the standard
// library's net/http/fcgi behind our client ("net-http-fcgi"), and HTTP/1.1
// keep-alive by net/http on both sides ("http1").

// usualParams are what nginx sends for a request of a browser: 30 pairs.
func usualParams(length int) Params {
	p := pairs("SCRIPT_FILENAME", "/var/www/example/public/index.php", "QUERY_STRING", "page=2&sort=name",
		"REQUEST_METHOD", "GET", "CONTENT_TYPE", "", "CONTENT_LENGTH", "",
		"SCRIPT_NAME", "/index.php", "REQUEST_URI", "/articles/list?page=2&sort=name", "DOCUMENT_URI", "/index.php",
		"DOCUMENT_ROOT", "/var/www/example/public", "SERVER_PROTOCOL", "HTTP/1.1", "REQUEST_SCHEME", "https", "HTTPS", "on",
		"GATEWAY_INTERFACE", "CGI/1.1", "SERVER_SOFTWARE", "nginx/1.22.1", "REMOTE_ADDR", "192.0.2.17", "REMOTE_PORT", "50112",
		"SERVER_ADDR", "192.0.2.1", "SERVER_PORT", "443", "SERVER_NAME", "example.org", "REDIRECT_STATUS", "200",
		"HTTP_HOST", "example.org", "HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
		"HTTP_ACCEPT", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "HTTP_ACCEPT_LANGUAGE", "en-US,en;q=0.5",
		"HTTP_ACCEPT_ENCODING", "gzip, deflate, br", "HTTP_CONNECTION", "keep-alive", "HTTP_COOKIE", "session=0123456789abcdef0123456789abcdef; theme=dark",
		"HTTP_REFERER", "https://example.org/articles/", "HTTP_UPGRADE_INSECURE_REQUESTS", "1", "HTTP_SEC_FETCH_MODE", "navigate")
	if length > 0 {
		for i := range p {
			switch p[i].Name {
			case "REQUEST_METHOD":
				p[i].Value = http.MethodPost
			case "CONTENT_LENGTH":
				p[i].Value = strconv.Itoa(length)
			}
		}
	}
	return p
}

func BenchmarkParams(b *testing.B) {
	params := usualParams(0)
	var wire []byte
	for _, p := range params {
		wire = appendPair(wire, p.Name, p.Value)
	}
	b.Run("build", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf, _ = appendParams(buf[:0], params)
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		var dst Params
		for b.Loop() {
			dst, _ = parseParams(dst[:0], string(wire), 500)
		}
	})
	b.Run("fold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = params.Folded()
		}
	})
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("unix", filepath.Join(tb.TempDir(), "s"))
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func dial(tb testing.TB, l net.Listener) net.Conn {
	tb.Helper()
	nc, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	return nc
}

const hello = "hello, world\n"

// answerer is what each contender serves: reads the whole body, answers size bytes.
type answerer struct{ body []byte }

func (a answerer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header()["Content-Type"] = []string{"text/plain"}
	_, _ = w.Write(a.body)
}

func (a answerer) ServeFastCGI(w *ResponseWriter, r *Request) {
	_, _ = io.Copy(io.Discard, r.Stdin)
	_, _ = w.WriteString("Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n")
	_, _ = w.Write(a.body)
}

// contenders start a server and return a function that makes clients.
func contenders(b *testing.B, answer []byte) map[string]func() client {
	b.Helper()
	a := answerer{answer}
	serve := func(h Handler) func() client {
		l := listen(b)
		s := &Server{Handler: h}
		go s.Serve(l)
		b.Cleanup(func() { _ = s.Close() })
		return func() client { return newFCGIClient(dial(b, l)) }
	}
	std := listen(b)
	go fcgi.Serve(std, a)
	h1 := listen(b)
	hs := &http.Server{Handler: a}
	go hs.Serve(h1)
	b.Cleanup(func() { _ = std.Close(); _ = hs.Close() })
	return map[string]func() client{
		"tq":            serve(a),
		"tq-http":       serve(HTTPHandler(a, HTTPOptions{})),
		"net-http-fcgi": func() client { return newFCGIClient(dial(b, std)) },
		"http1": func() client {
			nc := dial(b, h1)
			t := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nc, nil }}
			return &httpClient{c: &http.Client{Transport: t}, buf: make([]byte, 64<<10)}
		},
	}
}

// client does one request with a body and returns how long the answer's body was.
type client interface {
	do(body []byte) (int, error)
}

type fcgiClient struct {
	c      *Conn
	params Params
	size   int
	buf    []byte
}

func newFCGIClient(nc net.Conn) *fcgiClient {
	return &fcgiClient{c: NewConn(nc, ConnOptions{}), size: -1, buf: make([]byte, 64<<10)}
}

func (f *fcgiClient) do(body []byte) (int, error) {
	if f.size != len(body) {
		f.params, f.size = usualParams(len(body)), len(body)
	}
	if body == nil {
		body = []byte{}
	}
	if err := f.c.Start(Responder, true, f.params, body); err != nil {
		return 0, err
	}
	total, head := 0, 0
	for {
		n, err := f.c.Read(f.buf)
		if head == 0 && n > 0 {
			head = bytes.Index(f.buf[:n], []byte("\r\n\r\n")) + 4
			total -= head
		}
		total += n
		if errors.Is(err, io.EOF) || err == nil && f.c.Ended() {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

type httpClient struct {
	c   *http.Client
	buf []byte
}

func (h *httpClient) do(body []byte) (int, error) {
	var r io.Reader
	method := http.MethodGet
	if len(body) > 0 {
		r, method = bytes.NewReader(body), http.MethodPost
	}
	req, err := http.NewRequest(method, "http://example.org/articles/list?page=2&sort=name", r)
	if err != nil {
		return 0, err
	}
	for _, p := range usualParams(0) {
		if len(p.Name) > 5 && p.Name[:5] == "HTTP_" && p.Name != "HTTP_HOST" && p.Name != "HTTP_CONNECTION" {
			req.Header[p.Name] = []string{p.Value}
		}
	}
	resp, err := h.c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	total := 0
	for {
		n, err := resp.Body.Read(h.buf)
		total += n
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

var contenderNames = [...]string{"tq", "tq-http", "net-http-fcgi", "http1"}

func BenchmarkRoundTrip(b *testing.B) {
	for _, conns := range []int{1, 64} {
		for _, name := range contenderNames {
			b.Run(fmt.Sprintf("conns=%d/%s", conns, name), func(b *testing.B) {
				newClient := contenders(b, []byte(hello))[name]
				clients := make([]client, conns)
				for i := range clients {
					clients[i] = newClient()
				}
				b.ReportAllocs()
				b.ResetTimer()
				if conns == 1 {
					for range b.N {
						if n, err := clients[0].do(nil); n != len(hello) || err != nil {
							b.Fatal(n, err)
						}
					}
					return
				}
				var left atomic.Int64
				left.Store(int64(b.N))
				done := make(chan error)
				for _, c := range clients {
					go func() {
						for left.Add(-1) >= 0 {
							if n, err := c.do(nil); n != len(hello) || err != nil {
								done <- fmt.Errorf("%d bytes: %w", n, err)
								return
							}
						}
						done <- nil
					}()
				}
				for range clients {
					if err := <-done; err != nil {
						b.Error(err)
					}
				}
			})
		}
	}
}

func BenchmarkUpload(b *testing.B) {
	for _, size := range []int{1 << 20, 64 << 20} {
		body := make([]byte, size)
		for _, name := range contenderNames {
			b.Run(fmt.Sprintf("%dMiB/%s", size>>20, name), func(b *testing.B) {
				c := contenders(b, []byte(hello))[name]()
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					if n, err := c.do(body); n != len(hello) || err != nil {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}

func BenchmarkDownload(b *testing.B) {
	for _, size := range []int{1 << 20, 64 << 20} {
		answer := make([]byte, size)
		for _, name := range contenderNames {
			b.Run(fmt.Sprintf("%dMiB/%s", size>>20, name), func(b *testing.B) {
				c := contenders(b, answer)[name]()
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					if n, err := c.do(nil); n != size || err != nil {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}
