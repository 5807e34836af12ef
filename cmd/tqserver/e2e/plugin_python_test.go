package e2e

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const pythonExample = "config/examples/plugin-python"

// needPython leaves the test out where the example's packages are not installed.
func needPython(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("protoc"); err != nil {
		skip(t, "protoc (protobuf-compiler) is not installed")
	}
	if out, err := exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf, cryptography").CombinedOutput(); err != nil {
		skip(t, "python3-grpcio, python3-protobuf or python3-cryptography is not installed: "+string(out))
	}
}

// The example of a plugin in Python passes the conformance suite as its README
// says, and serves by the HTTP front, by nginx, after its death, and to the end
// of a request when it is told to stop.
func TestPythonPlugin(t *testing.T) {
	t.Parallel()
	needPython(t)
	readme := filepath.Join(pythonExample, "README.md")
	dir := shortFolder(t)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(repository, pythonExample))); err != nil {
		t.Fatal(err)
	}
	commands, serve, ok := strings.Cut(blocks(t, readme, "sh")[0], "tqserver serve --config ")
	if !ok {
		t.Fatalf("no server is started in %s", readme)
	}
	commands = strings.NewReplacer("../../..", repository, "plugin test", "plugin test --patience 10").Replace(commands)
	out, err := shell(t, dir, 5*time.Minute, "sh", "-ec", commands)
	if err != nil || !strings.Contains(out, " 0 failed, 0 left out") {
		t.Fatalf("%v\n%s", err, out)
	}
	shown := blocks(t, readme, "yaml")[0]
	if worker, err := os.ReadFile(filepath.Join(dir, "workers/guestbook/config/worker.yaml")); err != nil || string(worker) != shown {
		t.Errorf("worker.yaml of %s is not the example's: %v\n%s", readme, err, worker)
	}
	config, err := os.ReadFile(filepath.Join(dir, strings.TrimSpace(serve)))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "config/tqserver.yaml"), strings.Replace(string(config), "127.0.0.1:8080", "127.0.0.1:0", 1)+
		"fastcgi:\n  listen: [\"unix:f.sock\", \"127.0.0.1:0\"]\nlog: {format: json}\n")
	s := start(t, options{dir: dir})
	n := s.startNginx(t, strings.NewReplacer("include fastcgi_params", "include /etc/nginx/fastcgi_params", "unix:/run/tqserver/fastcgi.sock", "unix").
		Replace("\n"+blocks(t, readme, "nginx")[0]))
	client := newClient(t)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for base, size := range map[string]int{"http://" + s.http: 1 << 20, "http://" + n.addresses[0]: 5000} { // nginx sends no more of a body once the answer has begun
		text := "written by " + base
		a := must(t, client, 303, "POST", base+"/guestbook/", strings.NewReader(url.Values{"text": {text}}.Encode()), "Content-Type", "application/x-www-form-urlencoded")
		if a.Header.Get("Location") != "/guestbook/" {
			t.Errorf("%s: to %q", base, a.Header.Get("Location"))
		}
		if page := must(t, client, 200, "GET", base+"/guestbook/", nil).body; !strings.Contains(page, "<li>"+text+"</li>") {
			t.Errorf("%s: %s", base, page)
		}
		body := noise(size)
		if a := must(t, client, 200, "POST", base+"/guestbook/echo", strings.NewReader(string(body))); a.body != string(body) {
			t.Errorf("%s: %d bytes came back of %d", base, len(a.body), len(body))
		}
	}
	line := s.log.wait(t, 10*time.Second, 0, "somebody signed")
	if line.text("worker") != "guestbook" || line.text("plugin") != "wsgi" || len(line.text("request_id")) != 32 {
		t.Errorf("%s", line.raw)
	}

	// An error is a 500 and a line with the stack, of the request.
	s.allow("the application failed")
	must(t, client, 500, "GET", "http://"+s.http+"/guestbook/fail", nil)
	if line := s.log.wait(t, 10*time.Second, 0, "the application failed"); !strings.Contains(line.text("stack"), "RuntimeError: as asked") || line.level != "ERROR" {
		t.Errorf("%s", line.raw)
	}

	// A mistake in the plugin's section is told with its place.
	write(t, filepath.Join(dir, "workers/guestbook/config/worker.yaml"), strings.Replace(shown, "guestbook:application", "gestbook:application", 1))
	if _, stderr, code := run(t, dir, "check", "--config", "config/tqserver.yaml"); code != 1 || !strings.Contains(stderr, "worker.yaml:4:3: wsgi.app: there is no ") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	write(t, filepath.Join(dir, "workers/guestbook/config/worker.yaml"), shown)

	// Killed, it comes back.
	s.allow("the worker's process ended before it answered")
	for _, p := range s.family() {
		if strings.Contains(p.cmdline, "plugin.py") {
			_ = unix.Kill(p.pid, unix.SIGKILL)
		}
	}
	poll(t, 20*time.Second, "another process serves", func() bool {
		a, err := do(client, "GET", "http://"+s.http+"/guestbook/", nil)
		return err == nil && a.StatusCode == 200 && !strings.Contains(a.body, "<li>")
	})

	// A restart waits for a request that runs.
	body, send := io.Pipe()
	answered := make(chan answer, 1)
	go func() {
		a, _ := do(newClient(t), "POST", "http://"+s.http+"/guestbook/echo", body)
		answered <- a
	}()
	if _, err := io.WriteString(send, "begun "); err != nil {
		t.Fatal(err)
	}
	restarted := make(chan int, 1)
	go func() {
		_, _, code := run(t, dir, "restart", "--config", "config/tqserver.yaml", "guestbook")
		restarted <- code
	}()
	s.log.wait(t, 30*time.Second, 0, "restarted")
	_, _ = io.WriteString(send, "and ended")
	_ = send.Close()
	if a := <-answered; a.body != "begun and ended" {
		t.Errorf("%q", a.body)
	}
	if code := <-restarted; code != 0 {
		t.Errorf("restart: exit code %d", code)
	}
}
