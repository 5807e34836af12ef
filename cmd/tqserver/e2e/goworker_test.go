package e2e

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"
)

// goFolder is the folder of a server with the sample Go worker at /.
func goFolder(t *testing.T, section string, more map[string]string) string {
	t.Helper()
	program, err := os.ReadFile(indexBinary)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"workers/index/config/worker.yaml": "path: /\ntype: go\ngo:\n  binary: bin/index\n" + section,
		"workers/index/bin/index":          string(program),
	}
	maps.Copy(files, more)
	dir := folder(t, options{workers: []string{}, files: files})
	if err := os.Chmod(filepath.Join(dir, "workers/index/bin/index"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// converse has messages come back from an echoing WebSocket of a worker whose
// request_timeout is a second, one of them of the given size.
func converse(t *testing.T, c *websocket.Conn, size int) {
	t.Helper()
	c.SetReadLimit(1 << 20)
	began := time.Now()
	for _, message := range [][]byte{[]byte("hi"), noise(size), {}, nil} {
		if message == nil { // a socket may be silent for longer than a request may run
			poll(t, 5*time.Second, "more than request_timeout has passed", func() bool { return time.Since(began) > 1500*time.Millisecond })
			message = []byte("still there")
		}
		if err := c.Write(t.Context(), websocket.MessageBinary, message); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Read(t.Context()); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("%d bytes came back of %d, %v", len(got), len(message), err)
		}
	}
}

// WebSocket from a client by the HTTP front to a Go worker; a server that is
// told to stop lets it say goodbye, and does not wait for it.
func TestWebSocketThroughTheServer(t *testing.T) {
	t.Parallel()
	s := start(t, options{dir: goFolder(t, "  pool: {request_timeout: 1s}\n", nil)})
	c, _, err := websocket.Dial(t.Context(), "ws://"+s.http+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	converse(t, c, 60<<10)
	family := s.family()
	s.signal(t, unix.SIGTERM)
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("ended by %v", err)
	}
	s.over = true
	if code := s.wait(t, 10*time.Second); code != 0 { // drain_timeout is 15 s
		t.Errorf("exit code %d", code)
	}
	s.gone(t, family)
}

// A reload leaves the WebSockets of workers alone that have not changed, and does
// not wait for them; those of a changed worker say goodbye.
func TestReloadWithOpenWebSockets(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile(indexBinary)
	if err != nil {
		t.Fatal(err)
	}
	other := func(title string) string {
		return "path: /\nhosts: [other.example]\ntype: go\ngo:\n  binary: bin/index\n  title: " + title + "\n"
	}
	dir := goFolder(t, "  title: kept\n", map[string]string{"workers/other/config/worker.yaml": other("one"), "workers/other/bin/index": string(program)})
	if err := os.Chmod(filepath.Join(dir, "workers/other/bin/index"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t, options{dir: dir, sets: []string{"server.drain_timeout=10m"}})
	kept, _, err := websocket.Dial(t.Context(), "ws://"+s.http+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.CloseNow() }()
	changed, _, err := websocket.Dial(t.Context(), "ws://"+s.http+"/socket", &websocket.DialOptions{Host: "other.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = changed.CloseNow() }()
	echo := func() {
		t.Helper()
		if err := kept.Write(t.Context(), websocket.MessageText, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, got, err := kept.Read(t.Context()); err != nil || string(got) != "hi" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	echo()
	before := len(s.family())
	write(t, filepath.Join(dir, "workers/other/config/worker.yaml"), other("two"))
	if _, stderr, code := s.command(t, "reload"); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if _, _, err := changed.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("ended by %v", err)
	}
	poll(t, time.Minute, "the process of the older configuration has ended", func() bool { return len(s.family()) == before })
	echo()
}

// What the worker is told of a request, and its log lines with the ID.
func TestGoWorkerKnowsItsRequest(t *testing.T) {
	t.Parallel()
	s := start(t, options{dir: goFolder(t, "  title: My page\n", nil), sets: []string{"log.level=debug", "http.request_id_header=X-Request-Id"}})
	page := must(t, newClient(t), 200, "GET", "http://"+s.http+"/", nil, "X-Request-Id", "from-the-proxy").body
	for _, want := range []string{"<h1>My page: a Go worker</h1>", "<th>Request</th><td>from-the-proxy</td>", "<th>Worker</th><td>index</td>"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	if !regexp.MustCompile(`<th>Waited</th><td>[0-9.]+(µs|ms|s)</td>`).MatchString(page) {
		t.Errorf("no time in the queue in %s", page)
	}
	c, _, err := websocket.Dial(t.Context(), "ws://"+s.http+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close(websocket.StatusNormalClosure, "")
	poll(t, 5*time.Second, "the worker's line", func() bool {
		line, ok := s.log.find(0, "socket opened")
		return ok && line.text("worker") == "index" && line.text("plugin") == "go" && len(line.text("request_id")) == 32
	})
}

// A mistake in the worker's own section is told with its place before anything
// serves.
func TestGoWorkerSettingsAreChecked(t *testing.T) {
	t.Parallel()
	dir := goFolder(t, "  titel: x\n  stream_every: 0\n", nil)
	for _, command := range []string{"check", "serve"} {
		_, stderr, code := run(t, dir, command, "--config", "config/tqserver.yaml")
		for _, want := range []string{
			`workers/index/config/worker.yaml:5:3: go.titel: unknown key "titel"; did you mean title?`,
			"workers/index/config/worker.yaml:6:3: go.stream_every: must be from 1ms to 1m",
		} {
			if code != 1 || !strings.Contains(stderr, want) {
				t.Errorf("%s: exit code %d, no %q in %s", command, code, want, stderr)
			}
		}
	}
}
