package backend

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/mevdschee/tqserver/sdk"
)

// echoSocket answers every message with itself; "bye" makes the worker close,
// and an ended context says goodbye.
func echoSocket(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/declined" {
		http.Error(w, "no upgrade today", http.StatusForbidden)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(1 << 20)
	defer context.AfterFunc(r.Context(), func() { _ = c.Close(websocket.StatusGoingAway, "") })()
	for {
		kind, message, err := c.Read(context.WithoutCancel(r.Context()))
		if err != nil {
			return
		}
		if string(message) == "bye" {
			_ = c.Close(websocket.StatusNormalClosure, "as asked")
			return
		}
		if c.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

func dialSocket(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c, res, err := websocket.Dial(t.Context(), strings.Replace(url, "http", "ws", 1), nil)
	if err != nil {
		t.Fatalf("%v, %v", err, res)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(1 << 20)
	return c
}

func exchange(t *testing.T, c *websocket.Conn, message []byte) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageBinary, message); err != nil {
		t.Error(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || sha256.Sum256(got) != sha256.Sum256(message) {
		t.Errorf("%d other bytes came back, %v", len(got), err)
	}
}

func TestWebSocket(t *testing.T) { eachProtocol(t, testWebSocket) }

func testWebSocket(t *testing.T, p sdk.Protocol) {
	t.Helper()
	front, w := streamWorkerOf(t, p, echoSocket)
	t.Run("both ways", func(t *testing.T) {
		c := dialSocket(t, front.URL)
		large := make([]byte, 300<<10)
		_, _ = rand.Read(large)
		for _, message := range [][]byte{[]byte("hi"), {}, large, []byte("there")} {
			exchange(t, c, message)
		}
		if err := c.Write(t.Context(), websocket.MessageText, []byte("bye")); err != nil {
			t.Error(err)
		}
		if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("ended by %v", err)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		var all sync.WaitGroup
		for i := range 8 {
			c := dialSocket(t, front.URL)
			all.Go(func() {
				for j := range 20 {
					exchange(t, c, fmt.Appendf(nil, "%d of %d", j, i))
				}
				_ = c.Close(websocket.StatusNormalClosure, "")
			})
		}
		all.Wait()
	})
	t.Run("declined", func(t *testing.T) {
		_, res, err := websocket.Dial(t.Context(), strings.Replace(front.URL, "http", "ws", 1)+"/declined", nil)
		if err == nil || res == nil || res.StatusCode != http.StatusForbidden {
			t.Errorf("%v, %v", res, err)
		}
	})
	t.Run("client vanishes", func(t *testing.T) {
		c := dialSocket(t, front.URL)
		exchange(t, c, []byte("x"))
		_ = c.CloseNow()
	})
	await(t, func() bool { // every place is free again
		w.pool.mu.Lock()
		defer w.pool.mu.Unlock()
		return w.pool.set != nil && w.pool.open == len(w.pool.set.idle)
	})
	// A server that stops does not wait for them.
	c := dialSocket(t, front.URL)
	exchange(t, c, []byte("last"))
	began := time.Now()
	w.pool.lost("another takes over")
	// An HTTP worker reads an end of file, which is as if its client had left.
	_, _, err := c.Read(t.Context())
	if said := websocket.CloseStatus(err) == websocket.StatusGoingAway; err == nil || said != (p == sdk.FastCGI) {
		t.Errorf("ended by %v", err)
	}
	if took := time.Since(began); took > upgradeLinger {
		t.Errorf("took %v", took)
	}
}

// An upgrade nobody asked for must not reach the client.
func TestUnaskedUpgradeIs502(t *testing.T) { eachProtocol(t, testUnaskedUpgradeIs502) }

func testUnaskedUpgradeIs502(t *testing.T, p sdk.Protocol) {
	t.Helper()
	front := streamWorker(t, p, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSwitchingProtocols) })
	res, err := front.Client().Get(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusBadGateway {
		t.Error(res.Status)
	}
}

func TestEarlyHintsAndTrailers(t *testing.T) { eachProtocol(t, testEarlyHintsAndTrailers) }

func testEarlyHintsAndTrailers(t *testing.T, p sdk.Protocol) {
	t.Helper()
	front := streamWorker(t, p, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		if r.URL.Path == "/declared" {
			w.Header().Set("Trailer", "X-Sum")
		}
		_, _ = io.WriteString(w, "body")
		if r.URL.Path == "/flushed" || r.URL.Path == "/undeclared" && p == sdk.HTTP { // net/http's server needs it
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, ", more")
		}
		if r.URL.Path == "/declared" {
			w.Header().Set("X-Sum", "1")
		} else {
			w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
		}
	})
	for _, path := range []string{"/declared", "/undeclared", "/flushed"} {
		t.Run(path, func(t *testing.T) {
			hints := 0
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				if code != http.StatusEarlyHints || header.Get("Link") == "" {
					t.Errorf("%d %v", code, header)
				}
				hints++
				return nil
			}})
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, front.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := front.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if _, announced := res.Trailer["X-Sum"]; announced != (path == "/declared") {
				t.Errorf("announced: %v", res.Trailer)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || !strings.HasPrefix(string(body), "body") || res.Trailer.Get("X-Sum") != "1" || hints != 1 || res.Header.Get("Link") != "" {
				t.Errorf("%q, %v, trailers %v, %d hints, header %v", body, err, res.Trailer, hints, res.Header)
			}
		})
	}
	t.Run("of the request", func(t *testing.T) {
		trailed := streamWorker(t, p, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %v %v", body, err, r.Trailer)
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, trailed.URL, io.MultiReader(strings.NewReader("body")))
		if err != nil {
			t.Fatal(err)
		}
		req.Trailer = http.Header{"X-Sum": {"2"}}
		res, err := trailed.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got, err := io.ReadAll(res.Body); err != nil || string(got) != "body <nil> map[X-Sum:[2]]" {
			t.Errorf("%q, %v", got, err)
		}
	})
	// HTTP/1.0 knows neither.
	nc, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_, err = io.WriteString(nc, "GET /declared HTTP/1.0\r\n\r\n")
	answer, readErr := io.ReadAll(bufio.NewReader(nc))
	if err := errors.Join(err, readErr); err != nil || strings.Contains(string(answer), "103") || !strings.HasSuffix(string(answer), "\r\n\r\nbody") {
		t.Errorf("%q, %v", answer, err)
	}
}
