package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestREADMECommands runs what README and config/examples say, in a copy of the
// repository's configuration and workers, on the ports they name.
func TestREADMECommands(t *testing.T) {
	needPHP(t)
	path := nginxPath(t)
	for _, port := range []string{"8080", "8081", "8082", "8090", "9000"} {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			skip(t, "a port of the default configuration is taken: "+err.Error())
		}
		_ = l.Close()
	}
	dir := folder(t, options{workers: []string{}})
	for _, name := range []string{"config", "workers"} {
		if err := os.CopyFS(filepath.Join(dir, "repository", name), os.DirFS(filepath.Join(repository, name))); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "repository")
	program, err := os.ReadFile(indexBinary)
	if err != nil {
		t.Fatal(err)
	}
	write(t, root+"/workers/index/bin/index", string(program))
	if err := os.Chmod(root+"/workers/index/bin/index", 0o755); err != nil {
		t.Fatal(err)
	}
	start(t, options{dir: root, env: []string{"TQSERVER_LOG__FORMAT=json"}})

	nginxLine, curls := readmeCommands(t)
	cmd := exec.Command("sh", "-c", "exec "+nginxLine)
	cmd.Dir = root
	cmd.Env = []string{"PWD=" + root, "PATH=" + os.Getenv("PATH") + ":" + filepath.Dir(path)}
	runExample(t, cmd, root)

	c := newClient(t)
	for _, base := range []string{"http://127.0.0.1:8080", "http://127.0.0.1:8081", "http://127.0.0.1:8082"} {
		a := must(t, c, 200, "GET", base+"/blog/hello.php", nil)
		if a.body != "Hello from TQServer!\n" {
			t.Errorf("%s/blog/hello.php: %q", base, a.body)
		}
		if a := must(t, c, 200, "GET", base+"/blog/info.php", nil); !strings.Contains(a.body, "phpinfo()") || !strings.Contains(a.body, "PHP Version") {
			t.Errorf("%s/blog/info.php: %.300q", base, a.body)
		}
		if a := must(t, c, 200, "GET", base+"/?what=seen", nil); !strings.Contains(a.body, "what") || !strings.Contains(a.body, "seen") {
			t.Errorf("%s/ does not show the request: %.500q", base, a.body)
		}
	}
	if _, err := exec.LookPath("curl"); err != nil {
		skip(t, "curl is not installed")
	}
	for _, line := range curls {
		out, err := exec.Command("sh", "-c", strings.Replace(line, "curl", "curl -sSf --max-time 10", 1)).CombinedOutput()
		if err != nil || len(out) == 0 || strings.Contains(line, "hello.php") && string(out) != "Hello from TQServer!\n" {
			t.Errorf("%s: %v %q", line, err, out)
		}
	}
}

// readmeCommands are the lines of README.md that begin so.
func readmeCommands(t *testing.T) (nginx string, curls []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "nginx -"):
			nginx = line
		case strings.HasPrefix(line, "curl "):
			curls = append(curls, line)
		}
	}
	if nginx == "" || len(curls) < 3 {
		t.Fatalf("README.md has lost its commands: %q %q", nginx, curls)
	}
	return nginx, curls
}

// runExample runs nginx as README says, until the end of the test.
func runExample(t *testing.T, cmd *exec.Cmd, root string) {
	t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // nginx's fast shutdown
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		for _, name := range []string{"nginx-body", "nginx-proxy", "nginx-fastcgi", "nginx-uwsgi", "nginx-scgi", "nginx.pid"} {
			_ = os.RemoveAll(filepath.Join(root, "run", name))
		}
		if t.Failed() {
			t.Logf("nginx:\n%s", out.String())
		}
	})
	poll(t, 10*time.Second, "nginx of the example listens", func() bool {
		for _, port := range []string{"8081", "8082"} {
			c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
			if err != nil {
				return false
			}
			_ = c.Close()
		}
		return true
	})
}
