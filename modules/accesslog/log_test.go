package accesslog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opened is a log in a file of its own, and what reads the file after Close.
func opened(t *testing.T, format string) (*Log, func() string) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Format, cfg.File = format, filepath.Join(t.TempDir(), "access.log")
	l := New(cfg, nil, slog.New(slog.DiscardHandler))
	if err := errors.Join(l.Check(t.Context(), false), l.Open()); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		if err := l.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(cfg.File)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	t.Cleanup(func() { read() })
	return l, read
}

func request(target string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.RemoteAddr = "192.0.2.7:1234"
	return r.WithContext(api.WithRequestID(r.Context(), "id-1"))
}

func say(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if notes := api.NotesFrom(r.Context()); notes != nil {
			notes.Worker, notes.Queued = "shop", 1500*time.Microsecond
		}
		_, _ = io.WriteString(w, text)
	})
}

// combined as the parsers of Apache's and nginx's logs have it.
var combined = regexp.MustCompile(`^(\S+) - (\S+) \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"$`)

func TestCombined(t *testing.T) {
	l, read := opened(t, "combined")
	r := request("/a?b=c")
	r.Header.Set("Referer", "http://x/\" \n\x1b[31m\xff\u202e\\")
	r.Header.Set("User-Agent", "ua")
	r.SetBasicAuth("ann b\"", "secret")
	l.Wrap(say("hello")).ServeHTTP(httptest.NewRecorder(), r)
	l.Wrap(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), request("/nothing"))
	lines := strings.Split(strings.TrimSuffix(read(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	m := combined.FindStringSubmatch(lines[0])
	if m == nil {
		t.Fatalf("not combined: %s", lines[0])
	}
	if _, err := time.Parse(combinedTime, m[3]); err != nil {
		t.Error(err)
	}
	m[3] = ""
	want := []string{"192.0.2.7", `ann\x20b\x22`, "", "GET /a?b=c HTTP/1.1", "200", "5", `http://x/\x22 \x0A\x1B[31m\xFF\xE2\x80\xAE\x5C`, "ua"}
	if got := strings.Join(m[1:], "|"); got != strings.Join(want, "|") {
		t.Errorf("%q\nwant %q", got, want)
	}
	if !strings.HasSuffix(lines[1], `"GET /nothing HTTP/1.1" 404 19 "-" "-"`) || strings.Contains(lines[0]+lines[1], "secret") {
		t.Error(lines[1])
	}
}

func TestJSON(t *testing.T) {
	l, read := opened(t, "json")
	r := request("/x")
	r.Header.Set("User-Agent", "a\"\\\n\x7f\u009b\u202e\U0001F600\xff")
	r = r.WithContext(api.WithFastCGI(r.Context(), &api.FastCGI{Params: fastcgi.Params{{Name: "REMOTE_USER", Value: "ann"}}}))
	l.Wrap(say("hello")).ServeHTTP(httptest.NewRecorder(), r)
	text := read()
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil || strings.Count(text, "\n") != 1 {
		t.Fatalf("%v: %q", err, text)
	}
	if strings.ContainsFunc(strings.TrimSuffix(text, "\n"), func(c rune) bool { return c < ' ' || c > '~' }) {
		t.Errorf("not plain: %q", text)
	}
	if took, ok := got["duration"].(float64); !ok || took < 0 {
		t.Error(got["duration"])
	}
	if _, err := time.Parse(time.RFC3339, got["time"].(string)); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]any{
		"remote_addr": "192.0.2.7", "remote_user": "ann", "method": "GET", "uri": "/x", "protocol": "HTTP/1.1", "status": 200.0, "bytes": 5.0, "complete": true,
		"queue_time": 0.0015, "host": "example.com", "referer": "", "user_agent": "a\"\\\n\x7f\u009b\u202e\U0001F600\ufffd", "request_id": "id-1", "worker": "shop", "front": "fastcgi",
	} {
		if got[name] != want {
			t.Errorf("%s: %#v, want %#v", name, got[name], want)
		}
	}
}

func TestStatusOfWhatWasNotAnswered(t *testing.T) {
	l, read := opened(t, "json")
	abort := func(before func(http.ResponseWriter)) {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		l.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			before(w)
			panic(http.ErrAbortHandler)
		})).ServeHTTP(httptest.NewRecorder(), request("/"))
	}
	abort(func(http.ResponseWriter) {})
	abort(func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints); w.WriteHeader(http.StatusAccepted) })
	l.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(httptest.NewRecorder(), request("/"))
	var got []string
	for line := range strings.Lines(read()) {
		_, line, _ = strings.Cut(line, `"status":`)
		line, _, _ = strings.Cut(line, `,"duration`)
		got = append(got, line)
	}
	want := `499,"bytes":0,"complete":false 202,"bytes":0,"complete":false 200,"bytes":0,"complete":true`
	if strings.Join(got, " ") != want {
		t.Errorf("%q", got)
	}
}

// What a response can do, it can do through the log: by a real server.
func TestResponsesKeepTheirMethods(t *testing.T) {
	l, read := opened(t, "combined")
	file := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(io.ReaderFrom); !ok {
			t.Error("no ReaderFrom: the kernel cannot send the file")
		}
		http.ServeFile(w, r, file)
	})
	mux.HandleFunc("/flush", func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := errors.Join(c.EnableFullDuplex(), c.SetWriteDeadline(time.Now().Add(time.Minute)), c.Flush()); err != nil {
			t.Error(err)
		}
		w.(http.Flusher).Flush()
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("/switch", func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhi")
		_ = rw.Flush()
	})
	wrapped := l.Wrap(mux)
	var handled sync.WaitGroup // Close does not wait for who has taken a connection over
	handled.Add(3)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer handled.Done()
		wrapped.ServeHTTP(w, r)
	}))
	defer s.Close()
	for _, path := range []string{"/file", "/flush"} {
		resp, err := s.Client().Post(s.URL+path, "text/plain", strings.NewReader("ping"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /switch HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); !strings.Contains(line, "101") {
		t.Error(line, err)
	}
	handled.Wait()
	s.Close()
	text := read()
	for _, want := range []string{`/file HTTP/1.1" 200 1048576 `, `/flush HTTP/1.1" 200 4 `, `/switch HTTP/1.1" 101 0 `} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in:\n%s", want, text)
		}
	}
}

func TestFileIsOpenedAnewAndTruncated(t *testing.T) {
	l, read := opened(t, "combined")
	ask := func(path string) { l.Wrap(say("x")).ServeHTTP(httptest.NewRecorder(), request(path)) }
	holds := func(file, want string) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for {
			text, _ := os.ReadFile(file)
			if string(text) != "" && regexp.MustCompile(want).Match(text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %q is not %s", file, text, want)
			}
			<-time.After(time.Millisecond)
		}
	}
	name := l.cfg.File
	ask("/1")
	holds(name, `(?s)^[^\n]*/1 [^\n]*\n$`)
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	ask("/2")
	holds(name+".1", "/2 ")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Error(info.Mode(), err)
	}
	ask("/3")
	holds(name, "^[^\n]*/3 ")
	if err := os.Truncate(name, 0); err != nil { // copytruncate
		t.Fatal(err)
	}
	ask("/4")
	holds(name, "^[0-9][^\n]*/4 ") // no hole of zero bytes
	if err := os.Rename(filepath.Dir(name), filepath.Dir(name)+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err == nil || !strings.Contains(err.Error(), "access_log.file") {
		t.Error(err)
	}
	ask("/5") // goes on in the old file
	holds(filepath.Join(filepath.Dir(name)+".gone", filepath.Base(name)), "/5 ")
	if err := os.Rename(filepath.Dir(name)+".gone", filepath.Dir(name)); err != nil {
		t.Fatal(err)
	}
	read()
}

func TestCheckOfTheFile(t *testing.T) {
	cfg := DefaultConfig()
	folder := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(folder, "new"):      "",
		filepath.Join(folder, "no", "ne"): "no such file or directory; make the folder",
		folder:                            "is a directory",
		stdout:                            "",
	} {
		cfg.File = path
		err := New(cfg, nil, slog.New(slog.DiscardHandler)).Check(t.Context(), false)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if entries, _ := os.ReadDir(folder); len(entries) > 0 {
		t.Error("a check has made a file")
	}
}

// stuck is a disk that takes nothing until it is let go.
type stuck struct{ let chan struct{} }

func (s stuck) Write(b []byte) (int, error) { <-s.let; return len(b), nil }

func TestRequestsDoNotWaitAndLossIsTold(t *testing.T) {
	var out bytes.Buffer
	cfg := DefaultConfig()
	cfg.Buffer = 1000
	l := New(cfg, nil, slog.New(slog.NewTextHandler(&out, nil)))
	disk := stuck{make(chan struct{})}
	l.start(disk)
	for range 100 { // returns, though nothing is written
		l.Wrap(say("x")).ServeHTTP(httptest.NewRecorder(), request("/"))
	}
	lost := l.async.Dropped()
	if lost < 50 {
		t.Errorf("%d lines were lost", lost)
	}
	close(disk.let)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "lines of the access log were dropped") {
		t.Error(out.String())
	}
}

// blank is a response that costs nothing.
type blank struct{ header http.Header }

func (b *blank) Header() http.Header         { return b.header }
func (b *blank) WriteHeader(int)             {}
func (b *blank) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkLine(b *testing.B) {
	for _, format := range []string{"combined", "json"} {
		b.Run(format, func(b *testing.B) {
			cfg := DefaultConfig()
			cfg.Format = format
			l := New(cfg, nil, slog.New(slog.DiscardHandler))
			l.start(io.Discard)
			h := l.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
			r, w := request("/shop/basket?item=12"), &blank{http.Header{}}
			r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
			b.StopTimer()
			_ = l.Close(context.Background())
		})
	}
}
