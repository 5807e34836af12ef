package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const pluginGuide = "docs/guide/write-a-plugin.md"

// The commands of the guide, as they stand there, but for the port.
func TestPluginGuideCommands(t *testing.T) {
	t.Parallel()
	steps := blocks(t, pluginGuide, "sh")
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	commands, serve, ok := strings.Cut(steps[0], "tqserver serve --config ")
	if !ok {
		t.Fatalf("no server is started in %s", steps[0])
	}
	dir := shortFolder(t)
	script := "set -e\n" + strings.ReplaceAll(commands, "~/tqserver", root) + "pwd\n"
	out, err := shell(t, dir, 5*time.Minute, "sh", "-c", script)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out, " 0 failed") {
		t.Errorf("the protocol was not checked:\n%s", out)
	}
	lines := strings.Fields(out)
	dir = lines[len(lines)-1]
	config, err := os.ReadFile(filepath.Join(dir, strings.TrimSpace(serve)))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "config/tqserver.yaml"), strings.Replace(string(config), "127.0.0.1:8080", "127.0.0.1:0", 1)+"log: {format: json}\n")
	s := start(t, options{dir: dir})
	page, err := os.ReadFile(filepath.Join(repository, pluginGuide))
	if err != nil {
		t.Fatal(err)
	}
	says := regexp.MustCompile("(?s)```sh\ncurl http://127.0.0.1:8080(/[a-z]*)\n```\n\nanswers `([^`]*)`").FindStringSubmatch(string(page))
	if says == nil {
		t.Fatal("the guide does not say what is answered")
	}
	if a := must(t, newClient(t), 200, "GET", "http://"+s.http+says[1], nil); strings.TrimSpace(a.body) != says[2] {
		t.Errorf("%q, the guide says %q", a.body, says[2])
	}
}

// The programs of the guide, the worker.yaml it shows, and the mistakes it shows.
func TestPluginGuidePrograms(t *testing.T) {
	t.Parallel()
	programs := blocks(t, pluginGuide, "go")
	yaml := blocks(t, pluginGuide, "yaml")[0]
	if len(programs) != 2 {
		t.Fatalf("%d programs", len(programs))
	}
	dir := folder(t, options{workers: []string{}, files: map[string]string{
		"settings.go": programs[0], "socket.go": programs[1],
		"workers/hello/config/worker.yaml":  strings.Replace(yaml, "go:\n", "go:\n  binary: bin/hello\n", 1),
		"workers/socket/config/worker.yaml": "path: /socket\ntype: go\ngo: {binary: bin/socket}\n",
	}})
	build(t, filepath.Join(dir, "settings.go"), filepath.Join(dir, "workers/hello/bin/hello"))
	build(t, filepath.Join(dir, "socket.go"), filepath.Join(dir, "workers/socket/bin/socket"))
	s := start(t, options{dir: dir})
	a := must(t, newClient(t), 200, "GET", "http://"+s.http+"/", nil)
	if !regexp.MustCompile(`^Hi, request [0-9a-f]{32} of 127\.0\.0\.1\n$`).MatchString(a.body) {
		t.Errorf("%q", a.body)
	}
	c, _, err := websocket.Dial(t.Context(), "ws://"+s.http+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Error(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	_ = c.Close(websocket.StatusNormalClosure, "")

	page, err := os.ReadFile(filepath.Join(repository, pluginGuide))
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)\n```\n(workers/hello.*?)```").FindStringSubmatch(string(page))
	if shown == nil {
		t.Fatal("the guide shows no mistakes")
	}
	write(t, filepath.Join(dir, "workers/hello/config/worker.yaml"), "path: /\ntype: go\ngo:\n  greting: Hi\n  patience: 5\n  binary: bin/hello\n")
	_, stderr, code := run(t, dir, "check", "--config", "config/tqserver.yaml")
	for line := range strings.Lines(shown[1]) {
		if code != 1 || !strings.Contains(stderr, line) {
			t.Errorf("exit code %d, no %q in\n%s", code, line, stderr)
		}
	}
}
