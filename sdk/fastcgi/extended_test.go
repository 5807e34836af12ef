package fastcgi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func extended(s *Server) { s.Extended = true }

// dialConn is a client of the server that takes trailers.
func (g *rig) dialConn(t *testing.T) *Conn {
	t.Helper()
	nc, err := net.Dial(g.l.Addr().Network(), g.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(nc, ConnOptions{Extended: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestExtendedInforms: each 1xx is a head of its own, at once; the final head
// has no part of it but the headers that were left.
func TestExtendedInforms(t *testing.T) {
	seen := make(chan struct{})
	h := HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		<-seen
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "ok")
	}), HTTPOptions{})
	c := serve(t, h, extended).dialConn(t)
	if err := c.Start(Responder, true, pairs("REQUEST_METHOD", "GET", "REQUEST_URI", "/"), []byte{}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if want := "Status: 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"; err != nil || string(b[:n]) != want {
		t.Errorf("%q, %v", b[:n], err)
	}
	close(seen)
	rest, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(rest), "Status: 200 OK\r\n") || !strings.HasSuffix(string(rest), "\r\n\r\nok") {
		t.Errorf("%q, %v", rest, err)
	}
	if c.Trailers() != nil || !c.Reusable() {
		t.Errorf("trailers %v, reusable %v", c.Trailers(), c.Reusable())
	}
}

// TestExtendedTrailers: those of the request reach the handler with the end of
// its body, those of the response the client after the end of the answer; the
// connection is good for more.
func TestExtendedTrailers(t *testing.T) {
	h := HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, announced := r.Trailer["X-Sum"]; !announced || r.Header.Get("Trailer") != "" {
			t.Errorf("announced %v, header %v", r.Trailer, r.Header)
		}
		w.Header().Set("Trailer", "X-Size, Content-Length")
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v", body, err)
		w.Header().Set("X-Size", strconv.Itoa(len(body)))
		w.Header().Set(http.TrailerPrefix+"X-Sum", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"Content-Type", "no/trailer")
	}), HTTPOptions{})
	c := serve(t, h, extended).dialConn(t)
	for i := range 3 {
		err := c.Start(Responder, true, pairs("REQUEST_METHOD", "POST", "REQUEST_URI", "/", "HTTP_TRAILER", "x-sum"), nil)
		if err == nil {
			_, err = c.WriteStdin([]byte("hello"))
		}
		err = errors.Join(err, c.WriteTrailers(Params{{Name: "X-Sum", Value: strings.Repeat("s", 300)}, {Name: "Host", Value: "evil"}}), c.CloseStdin())
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil || !strings.Contains(string(answer), "\r\nTrailer: X-Size\r\n") || strings.Contains(string(answer), "Content-Length") ||
			!strings.HasSuffix(string(answer), "\r\n\r\nhello <nil>") {
			t.Errorf("%d: %q, %v", i, answer, err)
		}
		got := c.Trailers()
		if len(got) != 2 || got.Get("X-Size") != "5" || len(got.Get("X-Sum")) != 300 {
			t.Errorf("%d: %v", i, got)
		}
		if !c.Reusable() {
			t.Error("the connection is of no more use")
		}
	}
}

// Without the option nothing but FastCGI is spoken or understood.
func TestExtensionsAreOff(t *testing.T) {
	g := serve(t, HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-T")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-T", "1")
	}), HTTPOptions{}), nil)
	p := g.dial()
	p.send(request(1, true, "hi", "REQUEST_METHOD", "POST", "REQUEST_URI", "/"))
	if a := p.answer(1); strings.Contains(a.Stdout, "103") || strings.Contains(a.Stdout, "X-T") || !strings.HasSuffix(a.Stdout, "hi") {
		t.Errorf("%v", a)
	}
	p.send(begin(1, Responder, true) + params(1, "REQUEST_METHOD", "POST", "REQUEST_URI", "/") + raw(typeTrailers, 1, block("A", "b")))
	p.closed()
	g.reported(KindProtocol, "TRAILERS")
}

// TestExtendedBounds: trailers without end are refused on both sides.
func TestExtendedBounds(t *testing.T) {
	g := serve(t, HTTPHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}), HTTPOptions{}), extended)
	p := g.dial()
	p.send(begin(1, Responder, true) + params(1, "REQUEST_METHOD", "POST", "REQUEST_URI", "/"))
	big := raw(typeTrailers, 1, strings.Repeat("x", 40<<10))
	p.send(big + big)
	_, _ = p.all()
	g.reported(KindProtocol, "too large")
	for name, o := range map[string]ConnOptions{"too large": {Extended: true}, "not of FastCGI": {}} {
		near, far := net.Pipe()
		go func() {
			_, _ = far.Read(make([]byte, 4096))
			_, _ = far.Write([]byte(big + big))
		}()
		c := NewConn(near, o)
		if err := c.Start(Responder, true, pairs("A", "b"), []byte{}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", name, err)
		}
		_ = far.Close()
	}
}

// TestHijackAfterHead: a handler may write the head by the ResponseWriter and
// hijack then, as github.com/coder/websocket does.
func TestHijackAfterHead(t *testing.T) {
	g := serve(t, HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer nc.Close()
		line, err := rw.ReadString('\n')
		if err == nil {
			_, _ = nc.Write([]byte{0x81, 2}) // no line of text
			_, _ = nc.Write([]byte(line))
		}
	}), HTTPOptions{}), nil)
	p := g.dial()
	p.send(begin(1, Responder, true) + params(1, "REQUEST_METHOD", "GET", "REQUEST_URI", "/", "CONTENT_LENGTH", "0"))
	if r := p.recv(); r.Content != "Status: 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" {
		t.Fatalf("got %v", r)
	}
	p.send(raw(typeStdin, 1, "hi\n"))
	if r := p.recv(); r.Content != "\x81\x02" {
		t.Errorf("got %v", r)
	}
	if r := p.recv(); r.Content != "hi\n" {
		t.Errorf("got %v", r)
	}
	p.answer(1)
	g.quiet()
}
