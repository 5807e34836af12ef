package backend

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// eachProtocol runs a test with workers that speak FastCGI, and HTTP.
func eachProtocol(t *testing.T, test func(t *testing.T, p sdk.Protocol)) {
	t.Helper()
	for _, p := range []sdk.Protocol{sdk.FastCGI, sdk.HTTP} {
		t.Run(string(p), func(t *testing.T) { test(t, p) })
	}
}

// streamWorker serves inner as a worker's process does, behind a streamHandler,
// and returns a front to it.
func streamWorker(t *testing.T, p sdk.Protocol, inner http.HandlerFunc) *httptest.Server {
	t.Helper()
	front, _ := streamWorkerOf(t, p, inner)
	return front
}

func streamWorkerOf(t *testing.T, p sdk.Protocol, inner http.HandlerFunc) (*httptest.Server, *worker) {
	t.Helper()
	var process interface {
		Serve(l net.Listener) error
		Close() error
	} = &http.Server{Handler: inner}
	if p == sdk.FastCGI {
		process = &fastcgi.Server{Handler: fastcgi.HTTPHandler(inner, fastcgi.HTTPOptions{}), Extended: true}
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- process.Serve(l) }()
	t.Cleanup(func() { // after the front and the pool
		_ = process.Close()
		<-served
	})
	return poolFront(t, sdk.Endpoint{
		ID: "w", Network: "unix", Address: l.Addr().String(), MaxConcurrent: 8, Trailers: true, Protocol: p,
	}, func(*poolSettings) {})
}

// poolFront is a front to a streamHandler whose pool has one endpoint.
func poolFront(t *testing.T, e sdk.Endpoint, change func(*poolSettings)) (*httptest.Server, *worker) {
	t.Helper()
	limits := defaultPool()
	limits.StartWorkers = 0
	change(&limits)
	w := &worker{
		name: "w", limits: limits, config: DefaultConfig(), chunks: newChunks(), log: slog.New(slog.DiscardHandler),
		pool: newPool("w", limits, slog.New(slog.DiscardHandler)),
	}
	w.pool.ready(api.EndpointSet{Release: func() {}, Endpoints: []sdk.Endpoint{e}})
	front := httptest.NewServer(&streamHandler{worker: w})
	t.Cleanup(func() {
		front.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.pool.stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return front, w
}

func TestStreamsBothWaysAtOnce(t *testing.T) { eachProtocol(t, testStreamsBothWaysAtOnce) }

func testStreamsBothWaysAtOnce(t *testing.T, p sdk.Protocol) {
	t.Helper()
	front := streamWorker(t, p, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // which FastCGI has anyway
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "got %s\n", lines.Text())
			_ = http.NewResponseController(w).Flush()
		}
	})
	body, send := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(send, "one\n") }()
	res, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answers := bufio.NewReader(res.Body)
	for _, line := range []string{"one", "two", "three"} {
		if line != "one" {
			if _, err := io.WriteString(send, line+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := answers.ReadString('\n'); got != "got "+line+"\n" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	_ = send.Close()
	if rest, err := io.ReadAll(answers); err != nil || len(rest) > 0 {
		t.Errorf("got %q, %v", rest, err)
	}
}

func TestLargeBodiesGoThroughUnchanged(t *testing.T) {
	eachProtocol(t, testLargeBodiesGoThroughUnchanged)
}

func testLargeBodiesGoThroughUnchanged(t *testing.T, p sdk.Protocol) {
	t.Helper()
	front := streamWorker(t, p, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // which FastCGI has anyway
		_, _ = io.Copy(w, r.Body)
	})
	sent := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	for _, c := range []struct {
		name string
		body io.Reader
	}{
		{"length known", strings.NewReader(sent)},
		{"chunked", io.MultiReader(strings.NewReader(sent))},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := front.Client().Post(front.URL, "text/plain", c.body)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if err != nil || sha256.Sum256(got) != sha256.Sum256([]byte(sent)) {
				t.Errorf("got %d other bytes, %v", len(got), err)
			}
		})
	}
}

func TestClientThatLeavesEndsTheRequest(t *testing.T) {
	eachProtocol(t, testClientThatLeavesEndsTheRequest)
}

func testClientThatLeavesEndsTheRequest(t *testing.T, p sdk.Protocol) {
	t.Helper()
	ended := make(chan struct{})
	front := streamWorker(t, p, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(ended)
	})
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, front.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	_ = res.Body.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the worker was not told")
	}
}

func TestAnswerBeforeTheBodyWasSent(t *testing.T) { eachProtocol(t, testAnswerBeforeTheBodyWasSent) }

func testAnswerBeforeTheBodyWasSent(t *testing.T, p sdk.Protocol) {
	t.Helper()
	front := streamWorker(t, p, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	c, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nbegun")
	line, err := bufio.NewReader(c).ReadString('\n')
	if !strings.Contains(line, "403") {
		t.Errorf("got %q, %v", line, err)
	}
	res, err := front.Client().Get(front.URL) // and nothing is stuck
	if err != nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("the next request: %v, %v", res, err)
	}
	_ = res.Body.Close()
}

func TestBrokenOffAnswerDoesNotLookWhole(t *testing.T) {
	eachProtocol(t, testBrokenOffAnswerDoesNotLookWhole)
}

func testBrokenOffAnswerDoesNotLookWhole(t *testing.T, p sdk.Protocol) {
	t.Helper()
	front := streamWorker(t, p, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	res, err := front.Client().Get(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("got %q, whole", got)
	}
}

func TestWorkerSeesTheRequest(t *testing.T) { eachProtocol(t, testWorkerSeesTheRequest) }

func testWorkerSeesTheRequest(t *testing.T, p sdk.Protocol) {
	t.Helper()
	front := streamWorker(t, p, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %q %d", r.Method, r.URL.RequestURI(), r.Host, r.Header.Get("X-Test"), r.ContentLength)
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL+"/a%20b?c=d&e", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "example.org"
	req.Header.Set("X-Test", "yes")
	res, err := front.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if want := `GET /a%20b?c=d&e example.org "yes" 0`; string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// limited is a front that bounds bodies as modules/http does.
func limited(next http.Handler, most int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(r.Context())
		r.Body = http.MaxBytesReader(nil, r.Body, most)
		next.ServeHTTP(w, r)
	})
}

func TestBodyAboveTheLimitIsTheClientsFault(t *testing.T) {
	eachProtocol(t, testBodyAboveTheLimitIsTheClientsFault)
}

func testBodyAboveTheLimitIsTheClientsFault(t *testing.T, p sdk.Protocol) {
	t.Helper()
	front := streamWorker(t, p, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	front.Config.Handler = limited(front.Config.Handler, 1<<20)
	res, err := front.Client().Post(front.URL, "text/plain", io.MultiReader(strings.NewReader(strings.Repeat("x", 2<<20))))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestPromisedLengthIsSentAtOnce(t *testing.T) { eachProtocol(t, testPromisedLengthIsSentAtOnce) }

func testPromisedLengthIsSentAtOnce(t *testing.T, p sdk.Protocol) {
	t.Helper()
	release := make(chan struct{})
	front := streamWorker(t, p, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "hello")
		_ = http.NewResponseController(w).Flush()
		<-release
	})
	res, err := front.Client().Get(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body) // would wait for the handler's end
	if string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	close(release)
}

func TestEarlyAnswerDoesNotWaitForAStalledUpload(t *testing.T) {
	eachProtocol(t, testEarlyAnswerDoesNotWaitForAStalledUpload)
}

func testEarlyAnswerDoesNotWaitForAStalledUpload(t *testing.T, p sdk.Protocol) {
	t.Helper()
	front := streamWorker(t, p, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "early") })
	for range 10 {
		c, err := net.Dial("tcp", front.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
		go func() { _, _ = c.Write(make([]byte, 2<<20)) }() // ends with c
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(res.Body); string(got) != "early" {
			t.Errorf("got %q, %v", got, err)
		}
		_ = c.Close()
	}
}

// A body that was read to its end must leave net/http's watch for the client
// alone: a deadline there cancelled every later request of the connection.
func TestKeptConnectionServesManyBodies(t *testing.T) {
	eachProtocol(t, testKeptConnectionServesManyBodies)
}

func testKeptConnectionServesManyBodies(t *testing.T, p sdk.Protocol) {
	t.Helper()
	front := streamWorker(t, p, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	body := strings.Repeat("x", 100_000)
	for i := range 500 {
		res, err := front.Client().Post(front.URL, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(i, err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if string(got) != "100000 <nil>" {
			t.Fatalf("request %d: %d %q, %v", i, res.StatusCode, got, err)
		}
	}
}
