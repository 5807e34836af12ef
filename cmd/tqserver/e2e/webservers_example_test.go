package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWebServerExamples starts the files of config/examples, as they are, in a
// copy of the repository's configuration and workers.
func TestWebServerExamples(t *testing.T) {
	needPHP(t)
	for _, port := range []string{"8080", "8083", "8084", "8085", "8086", "8087", "8088", "9000"} {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			skip(t, "a port of the examples is taken: "+err.Error())
		}
		_ = l.Close()
	}
	root := filepath.Join(folder(t, options{workers: []string{}}), "repository")
	for _, name := range []string{"config", "workers"} {
		if err := os.CopyFS(filepath.Join(root, name), os.DirFS(filepath.Join(repository, name))); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(indexBinary)
	if err != nil {
		t.Fatal(err)
	}
	write(t, root+"/workers/index/bin/index", string(program))
	if err := os.Chmod(root+"/workers/index/bin/index", 0o755); err != nil {
		t.Fatal(err)
	}
	start(t, options{dir: root, env: []string{"TQSERVER_LOG__FORMAT=json"}})
	for file, all := range map[string]struct{ programs, ports []string }{
		"apache.conf":   {[]string{"apache2", "httpd"}, []string{"8083", "8084"}},
		"Caddyfile":     {[]string{"caddy"}, []string{"8085", "8086"}},
		"lighttpd.conf": {[]string{"lighttpd"}, []string{"8087", "8088"}},
	} {
		t.Run(file, func(t *testing.T) {
			path := webServerPath(t, all.programs...)
			commands := exampleCommands(t, file)
			cmd := exec.Command("sh", "-c", "exec "+commands[0])
			cmd.Dir = root
			cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":" + filepath.Dir(path)}
			if why := runWebServer(t, cmd, "127.0.0.1:"+all.ports[0], "127.0.0.1:"+all.ports[1]); why != "" {
				t.Fatal(why)
			}
			c := newClient(t)
			for _, curl := range commands[1:] {
				url := strings.TrimPrefix(curl, "curl ")
				if a := must(t, c, 200, "GET", url, nil); a.body != "Hello from TQServer!\n" {
					t.Errorf("%s: %q", curl, a.body)
				}
			}
			toAll, site := "http://127.0.0.1:"+all.ports[0], "http://127.0.0.1:"+all.ports[1]
			for url, want := range map[string]string{
				toAll + "/?what=seen": "what=seen", toAll + "/blog/": "A blog on TQServer", toAll + "/blog/index.php/first-light": "First light",
				site + "/": "A blog on TQServer", site + "/index.php/first-light": "First light",
			} {
				if a := must(t, c, 200, "GET", url, nil); !strings.Contains(a.body, want) {
					t.Errorf("%s: %.1000q", url, a.body)
				}
			}
			must(t, c, 404, "GET", toAll+"/blog/missing.php", nil)
		})
	}
	_ = os.Remove(root + "/run/apache.log")
}

// exampleCommands are the commands in the head of an example: the web server,
// then curl.
func exampleCommands(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "config/examples", file))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "#   "); ok {
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	if len(commands) != 3 || !strings.HasPrefix(commands[1], "curl ") || !strings.HasPrefix(commands[2], "curl ") {
		t.Fatalf("%s has lost its commands: %q", file, commands)
	}
	return commands
}
