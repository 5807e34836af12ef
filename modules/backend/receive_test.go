package backend

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
)

// record is one FastCGI record of request 1.
func record(kind byte, content string) string {
	head := []byte{1, kind, 0, 1, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(head[4:], uint16(len(content)))
	return string(head) + content
}

const (
	endRequest = "\x01\x03\x00\x01\x00\x08\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00"
	stdout     = 6
	stderr     = 7
)

// fakeWorker answers every request on its socket as script says; its end of
// the connection is closed when script returns false.
func fakeWorker(t *testing.T, script func(c net.Conn, request int) bool) sdk.Endpoint {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var open sync.Map
	var requests atomic.Int32
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
			running.Go(func() {
				defer c.Close()
				for in := bufio.NewReader(c); readRequest(in) == nil; {
					if !script(c, int(requests.Add(1))-1) {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
		running.Wait()
	})
	return sdk.Endpoint{ID: "fake", Network: "unix", Address: l.Addr().String(), MaxConcurrent: 1}
}

// readRequest reads records up to the end of STDIN.
func readRequest(in *bufio.Reader) error {
	for {
		var head [8]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		length := int(binary.BigEndian.Uint16(head[4:6]))
		if _, err := in.Discard(length + int(head[6])); err != nil {
			return err
		}
		if head[1] == 5 && length == 0 {
			return nil
		}
	}
}

// testWorker is a worker before the given endpoint; its handler runs every
// request as PHP's do, without looking for a script.
func testWorker(t *testing.T, log *slog.Logger, e sdk.Endpoint, limits poolSettings) http.Handler {
	t.Helper()
	w := &worker{
		name: "w", limits: limits, config: DefaultConfig(), spool: t.TempDir(), chunks: newChunks(), log: log,
	}
	limits.StartWorkers = 0
	w.pool = newPool("w", limits, log)
	w.pool.ready(api.EndpointSet{Endpoints: []sdk.Endpoint{e}, Release: func() {}})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := w.pool.stop(ctx); err != nil {
			t.Error(err)
		}
	})
	h := &phpHandler{worker: w}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c := w.newCall(rw, r)
		defer c.account()
		sender, err := h.send(c, nil, &spooled{memory: []byte{}})
		if err != nil {
			c.fail(c.notSent(err))
			return
		}
		c.receive(sender)
	})
}

// get asks twice over a real connection and returns the first answer; the
// second must be ok: no failure may spoil the worker for the next request.
func get(t *testing.T, h http.Handler) (status int, body string, header http.Header, err error) {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	client := s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Get(s.URL)
	if err == nil {
		var b []byte
		b, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
		status, body, header = res.StatusCode, string(b), res.Header
	}
	again, err2 := client.Get(s.URL)
	if err2 != nil || again.StatusCode != http.StatusOK {
		t.Fatalf("the next request: %v, %v", again, err2)
	}
	_ = again.Body.Close()
	return status, body, header, err
}

const good = "Content-Type: text/plain\r\n\r\nok"

func TestAnswersOfAWorker(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer string // then END_REQUEST, unless it breaks off
		broken bool
		status int // 0: the response must break off
		body   string
		log    string
	}{
		{"plain", record(stdout, good), false, 200, "ok", ""},
		{"without an empty STDOUT, with one", record(stdout, good) + record(stdout, ""), false, 200, "ok", ""},
		{"head in single bytes", singleBytes(good), false, 200, "ok", ""},
		{"status and no body", record(stdout, "Status: 404 Nothing\r\nContent-Type: text/plain\r\n\r\n"), false, 404, "", ""},
		{"bare LF", record(stdout, "Content-Type: text/plain\n\nok"), false, 200, "ok", ""},
		{"redirect", record(stdout, "Location: http://h/x\r\n\r\n"), false, 302, "", ""},
		{"local redirect", record(stdout, "Location: /x\r\n\r\n"), false, 302, "", ""},
		{"not modified with a body", record(stdout, "Status: 304\r\n\r\nbody"), false, 304, "", ""},
		{"more than promised", record(stdout, "Content-Length: 2\r\n\r\nokmore"), false, 200, "ok", ""},
		{"more than promised, in pieces", record(stdout, "Content-Length: 4\r\n\r\nok") + record(stdout, "okmore") + record(stdout, "more"), false, 200, "okok", ""},
		{"less than promised", record(stdout, "Content-Length: 9\r\n\r\nok"), false, 0, "", "less than its Content-Length"},
		{"nothing", "", false, 502, "", "no valid CGI response head"},
		{"no blank line", record(stdout, "Content-Type: text/plain\r\n"), false, 502, "", "no valid CGI response head"},
		{"no colon", record(stdout, "hello\r\n\r\n"), false, 502, "", "no valid CGI response head"},
		{"folded header", record(stdout, "A: b\r\n c\r\n\r\n"), false, 502, "", "no valid CGI response head"},
		{"NUL in a value", record(stdout, "A: b\x00c\r\n\r\n"), false, 502, "", "no valid CGI response head"},
		{"a status that is none", record(stdout, "Status: 99999\r\n\r\n"), false, 502, "", "no valid CGI response head"},
		{"an informational status", record(stdout, "Status: 103\r\n\r\n"), false, 502, "", "no valid CGI response head"},
		{"two lengths", record(stdout, "Content-Length: 1\r\nContent-Length: 2\r\n\r\nok"), false, 502, "", "no valid CGI response head"},
		{"a head without end", strings.Repeat(record(stdout, "A: "+strings.Repeat("x", 1000)+"\r\n"), 70), false, 502, "", "no valid CGI response head"},
		{"closed before the answer", "", true, 502, "", "ended before it answered"},
		{"closed in the head", record(stdout, "Content-Ty"), true, 502, "", "ended before it answered"},
		{"closed in the body", record(stdout, good), true, 502, "", "in the midst of its response"},
		{"closed in a record", record(stdout, good) + record(stdout, "more")[:9], true, 502, "", "in the midst of its response"},
		{"closed after the promised length", record(stdout, "Content-Length: 2\r\n\r\nok"), true, 200, "ok", ""},
		{"another request's record", record(stdout, good) + strings.Replace(record(stdout, "foreign"), "\x00\x01", "\x00\x02", 1), true, 502, "", "in the midst of its response"},
		{"a message on STDERR", record(stderr, "PHP message: oh\nno") + record(stdout, good), false, 200, "ok", "PHP message: oh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log lockedBuffer
			e := fakeWorker(t, func(conn net.Conn, request int) bool {
				if request > 0 {
					_, err := io.WriteString(conn, record(stdout, good)+endRequest)
					return err == nil
				}
				answer := c.answer
				if !c.broken {
					answer += endRequest
				}
				_, err := io.WriteString(conn, answer)
				return err == nil && !c.broken
			})
			status, body, _, err := get(t, testWorker(t, slog.New(slog.NewTextHandler(&log, nil)), e, defaultPool()))
			switch {
			case c.status == 0 && err == nil:
				t.Errorf("a broken response looked whole: %d %q", status, body)
			case c.status == 0:
			case err != nil || status != c.status || status == 200 && body != c.body:
				t.Errorf("got %d %q, %v", status, body, err)
			}
			if got := log.String(); !strings.Contains(got, c.log) || c.log == "" && got != "" {
				t.Errorf("log: %q, want %q in it", got, c.log)
			}
		})
	}
}

// A response that has begun is broken off; until then its end decides what it is.
func TestResponseInParts(t *testing.T) {
	for _, c := range []struct {
		name, first, rest string
		broken            bool
		body, log         string
	}{
		{"head first", record(stdout, "Content-Type: text/plain\r\n\r\n"), record(stdout, "ok"), false, "ok", ""},
		{"head and body first", record(stdout, good), record(stdout, " so far"), false, "ok so far", ""},
		{"broken off", record(stdout, good), record(stdout, "more")[:8], true, "ok", "in the midst of its response"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log lockedBuffer
			begun := make(chan struct{})
			e := fakeWorker(t, func(conn net.Conn, _ int) bool {
				if _, err := io.WriteString(conn, c.first); err != nil {
					return false
				}
				<-begun
				rest := c.rest
				if !c.broken {
					rest += endRequest
				}
				_, err := io.WriteString(conn, rest)
				return err == nil && !c.broken
			})
			s := httptest.NewServer(testWorker(t, slog.New(slog.NewTextHandler(&log, nil)), e, defaultPool()))
			defer s.Close()
			res, err := s.Client().Get(s.URL) // returns when the head is there
			close(begun)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if string(body) != c.body || (err != nil) != c.broken || res.ContentLength >= 0 {
				t.Errorf("got %q of %d, %v", body, res.ContentLength, err)
			}
			if got := log.String(); !strings.Contains(got, c.log) || c.log == "" && got != "" {
				t.Errorf("log: %q, want %q in it", got, c.log)
			}
		})
	}
}

func singleBytes(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteString(record(stdout, string(c)))
	}
	return b.String()
}

func TestRequestTimeoutIs504AndThePlaceComesBack(t *testing.T) {
	var log lockedBuffer
	release := make(chan struct{})
	e := fakeWorker(t, func(conn net.Conn, request int) bool {
		if request == 0 {
			<-release
			return false
		}
		_, err := io.WriteString(conn, record(stdout, good)+endRequest)
		return err == nil
	})
	limits := defaultPool()
	limits.RequestTimeout = 50 * time.Millisecond
	h := testWorker(t, slog.New(slog.NewTextHandler(&log, nil)), e, limits)
	first := httptest.NewRecorder()
	h.ServeHTTP(first, httptest.NewRequest(http.MethodGet, "/", nil))
	if first.Code != http.StatusGatewayTimeout || !strings.Contains(log.String(), "request_timeout") {
		t.Errorf("got %d, log %q", first.Code, log.String())
	}
	// The process still works on it: nobody else is sent there before it lets go.
	second := make(chan int, 1)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		second <- w.Code
	}()
	select {
	case code := <-second:
		t.Errorf("answered %d while the process was busy", code)
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	if code := <-second; code != http.StatusOK {
		t.Errorf("the next request: %d", code)
	}
}

// lockedBuffer is a log that the test reads while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
