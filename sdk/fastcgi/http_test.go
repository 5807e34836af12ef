package fastcgi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

type key struct{}

// TestHTTPHandler compares with net/http: status, headers and body are the same.
func TestHTTPHandler(t *testing.T) {
	big := strings.Repeat("<p>big</p>", 10_000)
	tests := []struct {
		name   string
		method string
		h      http.HandlerFunc
		same   bool // also Content-Length
	}{
		{"nothing", "GET", func(http.ResponseWriter, *http.Request) {}, true},
		{"text", "GET", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "plain") }, true},
		{"HTML in two writes", "GET", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doc"); fmt.Fprint(w, "type html>") }, true},
		{"big", "GET", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, big) }, false},
		{"copied", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader(big)) }, false},
		{"own type", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			_, _ = io.Copy(w, strings.NewReader(big))
		}, false},
		{"length declared", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			fmt.Fprint(w, "12345")
			if _, err := fmt.Fprint(w, "6"); !errors.Is(err, http.ErrContentLength) {
				panic(err)
			}
		}, true},
		{"HEAD", "HEAD", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			fmt.Fprint(w, "body")
		}, true},
		{"404", "GET", http.NotFound, true},
		{"204", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
		}, true},
		{"304", "GET", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"x"`); w.WriteHeader(304) }, true},
		{"cookies", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
		}, true},
		{"header too late", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); w.Header().Set("X-Late", "1") }, true},
		{"encoded", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "\x1f\x8b")
		}, true},
		{"flushed", "GET", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "a")
			w.(http.Flusher).Flush()
			fmt.Fprint(w, "b")
		}, false},
		{"header injection", "GET", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", "b\r\nX-C: d") }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ref := httptest.NewServer(test.h)
			defer ref.Close()
			defer ref.CloseClientConnections()
			tr := &http.Transport{DisableCompression: true}
			defer tr.CloseIdleConnections()
			req, _ := http.NewRequestWithContext(t.Context(), test.method, ref.URL, nil)
			want, err := (&http.Client{Transport: tr}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer want.Body.Close()
			wantBody, _ := io.ReadAll(want.Body)

			g := serve(t, HTTPHandler(test.h, HTTPOptions{}), nil)
			p := g.dial()
			p.send(request(1, true, "", "REQUEST_METHOD", test.method, "REQUEST_URI", "/", "SERVER_NAME", "x"))
			got := p.answer(1).Stdout
			if !strings.HasPrefix(got, fmt.Sprintf("Status: %s\r\n", want.Status)) {
				t.Errorf("status in %.100q, want %s", got, want.Status)
			}
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(strings.Replace(got, "Status:", "HTTP/1.0", 1))), req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if string(body) != string(wantBody) {
				t.Errorf("body %.100q, want %.100q", body, wantBody)
			}
			want.Header.Del("Date")
			if !test.same {
				resp.Header.Del("Content-Length")
				want.Header.Del("Content-Length")
			}
			if g, w := fmt.Sprint(resp.Header), fmt.Sprint(want.Header); g != w {
				t.Errorf("header %s, want %s", g, w)
			}
		})
	}
}

// TestHTTPDrops: 1xx, trailers and hop-by-hop headers do not get out.
func TestHTTPDrops(t *testing.T) {
	p := serve(t, HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.Header().Set("Connection", "close")
		w.Header().Set("Trailer", "X-T")
		w.Header().Set("Content-Type", "a/b")
		fmt.Fprint(w, "x")
		w.Header().Set("X-T", "1")
		w.Header().Set(http.TrailerPrefix+"X-U", "2")
	}), HTTPOptions{}), nil).dial()
	p.send(request(1, true, "", "REQUEST_METHOD", "GET", "REQUEST_URI", "/"))
	if got, want := p.answer(1).Stdout, "Status: 200 OK\r\nContent-Type: a/b\r\nLink: </a>\r\nContent-Length: 1\r\n\r\nx"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestHTTPBody: F33 and F34, and what has no length.
func TestHTTPBody(t *testing.T) {
	g := serve(t, HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %q %v", r.ContentLength, b, err)
	}), HTTPOptions{}), nil)
	for _, test := range []struct{ name, length, body, want string }{
		{"F34 cut at CONTENT_LENGTH", "3", "abcdef", `3 "abc" <nil>`},
		{"F33 short", "5", "abc", `5 "abc" unexpected EOF`},
		{"none", "", "", `0 "" <nil>`},
		{"zero", "0", "xyz", `0 "" <nil>`},
		{"no length", "", "abc", `-1 "abc" <nil>`},
		{"negative", "-2", "abc", "Bad Request\n"},
		{"signed", "+5", "abc", "Bad Request\n"},
		{"list", "5, 5", "abc", "Bad Request\n"},
		{"huge", "100000000000000000000", "abc", "Bad Request\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := g.dial()
			p.send(request(1, true, test.body, "REQUEST_METHOD", "POST", "REQUEST_URI", "/", "CONTENT_LENGTH", test.length))
			if a := p.answer(1); !strings.HasSuffix(a.Stdout, "\r\n\r\n"+test.want) {
				t.Errorf("got %q", a.Stdout)
			}
		})
	}
}

// TestHTTPShortBodyIsCut: less than Content-Length must not look complete.
func TestHTTPShortBodyIsCut(t *testing.T) {
	p := serve(t, HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "short")
	}), HTTPOptions{}), nil).dial()
	p.send(request(1, true, "", "REQUEST_METHOD", "GET", "REQUEST_URI", "/"))
	p.brokenOff()
}

// TestHTTPContext: FromContext works, WithContext wraps, the request ends it.
func TestHTTPContext(t *testing.T) {
	ended := make(chan struct{})
	p := serve(t, HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fr := FromContext(r.Context())
		fmt.Fprintf(fr.Stderr(), "%s %v", fr.Params.Get("X"), r.Context().Value(key{}))
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(ended)
	}), HTTPOptions{WithContext: func(r *Request, ctx context.Context) context.Context {
		return context.WithValue(ctx, key{}, r.Params.Get("X"))
	}}), nil).dial()
	p.send(request(1, true, "", "REQUEST_METHOD", "GET", "REQUEST_URI", "/", "X", "y"))
	if r := p.recv(); r.Kind != typeStderr || r.Content != "y y" {
		t.Errorf("got %v", r)
	}
	if r := p.recv(); r.Kind != typeStdout {
		t.Errorf("got %v", r)
	}
	_ = p.nc.Close()
	within(t, "the end of the context", ended)
}

// TestHTTPController: deadlines work while a read waits.
func TestHTTPController(t *testing.T) {
	p := serve(t, HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		if err := rc.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
			panic(err)
		}
		if err := rc.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			panic(err)
		}
		_, err := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, err)
	}), HTTPOptions{}), nil).dial()
	p.send(begin(1, Responder, true) + params(1, "REQUEST_METHOD", "POST", "REQUEST_URI", "/", "CONTENT_LENGTH", "5"))
	if a := p.answer(1); !strings.HasSuffix(a.Stdout, "i/o timeout") {
		t.Errorf("got %q", a.Stdout)
	}
}

// TestHijack: an upgrade over the streams, both ways, after the handler has
// returned and with long silence.
func TestHijack(t *testing.T) {
	g := serve(t, HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			panic(err)
		}
		go func() {
			fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
			_ = rw.Flush()
			for {
				line, err := rw.ReadString('\n')
				if err != nil || line == "bye\n" {
					_ = nc.Close()
					return
				}
				_, _ = nc.Write([]byte("echo " + line))
			}
		}()
	}), HTTPOptions{}), func(s *Server) { s.ReadTimeout = 50 * time.Millisecond })
	p := g.dial()
	p.send(begin(1, Responder, true) + params(1, "REQUEST_METHOD", "GET", "REQUEST_URI", "/", "HTTP_UPGRADE", "echo"))
	if r := p.recv(); r.Content != "Status: 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" {
		t.Fatalf("got %v", r)
	}
	for range 3 {
		<-time.After(80 * time.Millisecond)
		p.send(raw(typeStdin, 1, "hi\n"))
		if r := p.recv(); r.Content != "echo hi\n" {
			t.Fatalf("got %v", r)
		}
	}
	p.send(raw(typeStdin, 1, "bye\n"))
	if a := p.answer(1); a.Stdout != "" {
		t.Errorf("got %v", a)
	}
	g.quiet()
}
