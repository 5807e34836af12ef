package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// conforms runs `tqserver plugin test` and returns its report.
func conforms(t *testing.T, args ...string) {
	t.Helper()
	out, err := shell(t, t.TempDir(), 3*time.Minute, append([]string{serverBinary, "plugin", "test"}, args...)...)
	if err != nil || !strings.Contains(out, " 0 failed") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Log(out)
}

// shell runs a program in dir, with the go command's own environment.
func shell(t *testing.T, dir string, within time.Duration, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "PATH="+filepath.Dir(serverBinary)+":"+os.Getenv("PATH"))
	cmd.WaitDelay = within
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Our own plugin and the sample worker keep the plugin protocol.
func TestOwnPluginsConform(t *testing.T) {
	t.Parallel()
	t.Run("index", func(t *testing.T) {
		t.Parallel()
		conforms(t, "--patience", "10", "--echo", "/mirror", "--settings", `{"title": "x"}`, "--bad-settings", `{"titel": "x"}`, indexBinary)
	})
	t.Run("command", func(t *testing.T) { // whose endpoints speak HTTP
		t.Parallel()
		needNode(t)
		conforms(t, "--echo", "/echo", "--folder", filepath.Join(repository, "config/examples/node"), "--settings", `{"exec": ["node", "server.js"], "listen": "socket"}`,
			"--bad-settings", `{"exec": []}`, "--run", "handshake", "--run", "check", "--run", "serve", "--run", "concurrent", "--run", "stream", "--run", "bodies",
			"--run", "cancel", "--run", "killed", "--run", "stop-busy", serverBinary, "plugin", "command")
	})
	t.Run("php", func(t *testing.T) {
		t.Parallel()
		needPHP(t)
		root := t.TempDir()
		write(t, filepath.Join(root, "echo.php"), `<?php header('Content-Type: application/octet-stream'); readfile('php://input');`)
		conforms(t, "--patience", "10", "--document-root", root, "--param", "SCRIPT_FILENAME="+filepath.Join(root, "echo.php"), "--echo", "/echo.php", "--buffers",
			"--bad-settings", `{"setings": {}}`, serverBinary, "plugin", "php")
	})
}

// What `tqserver plugin new` writes, in a folder that is not ours, builds and
// serves (TestPluginGuideCommands runs its tests); its executable can be exchanged
// while requests run; and one that was exchanged behind the configuration's back
// is not started.
func TestNewPlugin(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(shortFolder(t), "greeter")
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range [][]string{
		{serverBinary, "plugin", "new", "--module", "example.org/greeter", "--sdk", root, dir},
		{"go", "vet", "./..."},
		{"go", "build", "-o", "bin/greeter", "."},
	} {
		in := dir
		if step[1] == "plugin" {
			in = filepath.Dir(dir)
		}
		if out, err := shell(t, in, 5*time.Minute, step...); err != nil {
			t.Fatalf("%q: %v\n%s", step, err, out)
		}
	}
	program, err := os.ReadFile(filepath.Join(dir, "bin/greeter"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(program)
	// Its own configuration, but for the port.
	config, err := os.ReadFile(filepath.Join(dir, "tqserver.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(config), "127.0.0.1:8080", "127.0.0.1:0", 1) + "log:\n  format: json\n"
	write(t, filepath.Join(dir, "config/tqserver.yaml"), text)
	s := start(t, options{dir: dir})
	get := func(path string) string {
		return must(t, newClient(t), 200, "GET", "http://"+s.http+path, nil).body
	}
	if got := get("/you"); got != "Hello from greeter, you asked for /you\n" {
		t.Errorf("%q", got)
	}

	// Another version takes its place under load.
	source, err := os.ReadFile(filepath.Join(dir, "handler.go"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "handler.go"), strings.Replace(string(source), "%s from greeter", "%s from the new greeter", 1))
	if out, err := shell(t, dir, 5*time.Minute, "go", "build", "-o", "bin/greeter.new", "."); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(dir, "bin/greeter.new"), filepath.Join(dir, "bin/greeter")); err != nil {
		t.Fatal(err)
	}
	stop, answers := hammer(t, "http://"+s.http+"/you", 4)
	if stdout, stderr, code := run(t, dir, "restart", "--config", "config/tqserver.yaml", "greeter"); code != 0 {
		t.Errorf("restart: exit code %d\n%s%s", code, stdout, stderr)
	}
	poll(t, 5*time.Second, "the new one answers", func() bool { return strings.Contains(get("/"), "the new greeter") })
	stop()
	for answer, n := range answers() {
		if !strings.HasPrefix(answer, "200 Hello from ") {
			t.Errorf("%d times %q", n, answer)
		}
	}

	// With a checksum that is another file's, a reload keeps what serves.
	write(t, filepath.Join(dir, "config/tqserver.yaml"), strings.Replace(text, "command: bin/greeter", "command: bin/greeter\n    sha256: "+hex.EncodeToString(sum[:]), 1))
	s.allow("reload failed", "its sha256 setting says")
	if _, stderr, code := run(t, dir, "reload", "--config", "config/tqserver.yaml"); code == 0 || !strings.Contains(stderr, "its sha256 setting says") {
		t.Errorf("reload: exit code %d\n%s", code, stderr)
	}
	if got := get("/you"); !strings.Contains(got, "the new greeter") {
		t.Errorf("%q", got)
	}
}

// shortFolder is one whose path leaves room for sockets.
func shortFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tq") //nolint:usetesting // see folder
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// hammer asks again and again from clients; answers counts what came by status and
// body, after stop.
func hammer(t *testing.T, url string, clients int) (stop func(), answers func() map[string]int) {
	t.Helper()
	quit, done := make(chan struct{}), make(chan map[string]int, clients)
	for range clients {
		client := newClient(t)
		go func() {
			seen := map[string]int{}
			for {
				select {
				case <-quit:
					done <- seen
					return
				default:
				}
				a, err := do(client, http.MethodGet, url, nil)
				if err != nil {
					seen[err.Error()]++
					continue
				}
				seen[fmt.Sprint(a.StatusCode, " ", a.body)]++
			}
		}()
	}
	return func() { close(quit) }, func() map[string]int {
		all := map[string]int{}
		for range clients {
			for answer, n := range <-done {
				all[answer] += n
			}
		}
		return all
	}
}
