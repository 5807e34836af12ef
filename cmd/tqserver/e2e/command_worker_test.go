package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"
)

// needNode leaves the test out where no Node is installed.
func needNode(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		skip(t, "nodejs is not installed")
	}
}

// nodeExample is config/examples/node as a worker at /.
func nodeExample(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, name := range []string{"server.js", "config/worker.yaml"} {
		text, err := os.ReadFile(filepath.Join(repository, "config/examples/node", name))
		if err != nil {
			t.Fatal(err)
		}
		files["workers/node/"+name] = string(text)
	}
	return files
}

type nodeSaw struct {
	PID                           int
	URL, Client, Scheme, Host, ID string
}

// The example as it stands: what it sees, large bodies both ways, a restart and
// reloads under load, and a process that is killed.
func TestNodeExample(t *testing.T) {
	t.Parallel()
	needNode(t)
	files := nodeExample(t)
	s := start(t, options{workers: []string{}, files: files})
	url := "http://" + s.http
	ask := func() nodeSaw {
		return decode[nodeSaw](t, must(t, newClient(t), 200, "GET", url+"/a%20b?c=d", nil, "X-Forwarded-For", "6.6.6.6").body)
	}
	if saw := ask(); saw.URL != "/a%20b?c=d" || saw.Client != "127.0.0.1" || saw.Scheme != "http" || saw.Host != s.http || len(saw.ID) != 32 {
		t.Errorf("%+v", saw)
	}
	// By FastCGI, too: what nginx says of the request becomes one of HTTP again.
	byFastCGI := "http://" + s.startNginx(t, fmt.Sprintf(byRoute, "unix")).addresses[0]
	saw := decode[nodeSaw](t, must(t, newClient(t), 200, "GET", byFastCGI+"/a%20b?c=d", nil, "X-Forwarded-For", "6.6.6.6").body)
	if saw.URL != "/a%20b?c=d" || saw.Client != "127.0.0.1" || saw.Scheme != "http" || "http://"+saw.Host != byFastCGI || len(saw.ID) != 32 {
		t.Errorf("%+v", saw)
	}
	// nginx reads no answer before it has sent the whole request.
	for front, size := range map[string]int{url: 8 << 20, byFastCGI: 60 << 10} {
		sent := noise(size)
		if got := must(t, newClient(t), 200, "POST", front+"/echo", bytes.NewReader(sent)).body; sha256.Sum256([]byte(got)) != sha256.Sum256(sent) {
			t.Errorf("%s: %d other bytes came back", front, len(got))
		}
	}
	both := func() map[int]bool {
		pids := map[int]bool{}
		for range 20 {
			pids[ask().PID] = true
		}
		return pids
	}

	l := startLoad(t, 6, url+"/x", url+"/health")
	l.more(t, 50)
	before := both()
	if _, stderr, code := s.command(t, "restart", "node"); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	l.more(t, 50)
	poll(t, 20*time.Second, "the old processes have gone", func() bool {
		for pid := range before {
			if syscall.Kill(pid, 0) == nil {
				return false
			}
		}
		return true
	})
	write(t, s.path("workers/node/config/worker.yaml"), strings.ReplaceAll(files["workers/node/config/worker.yaml"], "production", "test"))
	if _, stderr, code := s.command(t, "reload"); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	l.more(t, 50)
	l.end(t)

	// A process that dies is replaced; what it has not taken goes to the other.
	s.allow("started again")
	dead := ask().PID
	from := s.log.len()
	if err := syscall.Kill(dead, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	poll(t, 20*time.Second, "another process answers", func() bool { _, ok := s.log.find(from, "the program answers"); return ok })
	for range 10 {
		if ask().PID == dead {
			t.Error("the dead process answers")
		}
	}
}

const chatServer = `
const { WebSocketServer } = require('ws');
const server = require('node:http').createServer((q, r) => r.end('no socket\n'));
new WebSocketServer({ server }).on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
});
server.listen(process.env.PORT, process.env.HOST);
console.log('chat on port', process.env.PORT);
console.error('and a warning');
`

const chatSettings = `path: /
type: command
command:
  exec: [node, server.js]
  env: {NODE_PATH: /usr/share/nodejs}
  pool: {request_timeout: 1s}
`

// WebSocket through HTTP front and pool to a Node application; what it prints is
// in the log; a server that stops does not wait for it.
func TestWebSocketToNode(t *testing.T) {
	t.Parallel()
	needNode(t)
	if !exists("/usr/share/nodejs/ws") {
		skip(t, "node-ws is not installed")
	}
	s := start(t, options{workers: []string{}, files: map[string]string{
		"workers/chat/config/worker.yaml": chatSettings, "workers/chat/server.js": chatServer,
	}})
	c, _, err := websocket.Dial(t.Context(), "ws://"+s.http+"/room", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	converse(t, c, 300<<10)
	for text, stream := range map[string]string{"chat on port": "stdout", "and a warning": "stderr"} {
		if line, ok := s.log.find(0, text); !ok || line.text("worker") != "chat" || line.text("plugin") != "command" || line.text("stream") != stream {
			t.Errorf("%+v", line)
		}
	}
	family := s.family()
	s.signal(t, unix.SIGTERM)
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("a message, when the end was to come")
	}
	s.over = true
	if code := s.wait(t, 30*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.gone(t, family)
}

// Python's own server, at rest until the first request.
func TestPythonProgramOnDemand(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		skip(t, "python3 is not installed")
	}
	s := start(t, options{workers: []string{}, files: map[string]string{
		"workers/files/config/worker.yaml": `path: /
type: command
command:
  exec: [python3, -m, http.server, --bind, "${HOST}", "$PORT"]
  folder: public
  pool: {max_workers: 1, manager: ondemand, idle_timeout: 1s}
`,
		"workers/files/public/a.txt": "a file\n",
	}})
	running := func() bool {
		return slices.ContainsFunc(s.family(), func(p proc) bool {
			line, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/cmdline")
			return err == nil && bytes.Contains(line, []byte("http.server"))
		})
	}
	if running() {
		t.Error("a worker on demand runs before the first request")
	}
	client := newClient(t)
	for _, want := range []int{http.StatusOK, http.StatusNotFound, http.StatusOK} {
		path := map[int]string{http.StatusOK: "/a.txt", http.StatusNotFound: "/b.txt"}[want]
		if body := must(t, client, want, "GET", "http://"+s.http+path, nil).body; want == http.StatusOK && body != "a file\n" {
			t.Errorf("%q", body)
		}
	}
	poll(t, 20*time.Second, "it is at rest again", func() bool { return !running() })
	must(t, client, http.StatusOK, "GET", "http://"+s.http+"/a.txt", nil)
}

// A program that does not start is an error of the start, with what it printed.
func TestProgramThatFailsIsTold(t *testing.T) {
	t.Parallel()
	s := start(t, options{fails: true, workers: []string{}, files: map[string]string{
		"workers/broken/config/worker.yaml": "path: /\ntype: command\ncommand:\n  exec: [sh, -c, \"echo no database >&2; exit 3\"]\n",
	}})
	s.over = true
	if code := s.wait(t, startWait); code == 0 {
		t.Error("exit code 0")
	}
	if text := s.log.String(); !strings.Contains(text, "no database") || !strings.Contains(text, "exit status 3") {
		t.Error(text)
	}
}
