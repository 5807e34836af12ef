package e2e

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const faultyMain = `package main

import (
	"os"

	"github.com/mevdschee/tqserver/plugins/faulty"
)

func main() {
	mode := append(os.Args, "")[1]
	switch mode {
	case faulty.ChildArg:
		faulty.ChildMain()
	case faulty.LeakArg:
		faulty.LeakMain()
	default:
		faulty.Main(mode)
	}
}
`

// faultyFolder is a server with the sample Go worker at / and, for each host
// named, a worker of a third party's plugin that has the faults of its settings.
func faultyFolder(t *testing.T, workers map[string]string) string {
	t.Helper()
	dir := goFolder(t, "", nil)
	write(t, filepath.Join(dir, "faulty.go"), faultyMain)
	build(t, filepath.Join(dir, "faulty.go"), filepath.Join(dir, "faulty"))
	config, err := os.ReadFile(filepath.Join(dir, "config/tqserver.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "config/tqserver.yaml"), string(config)+"plugins:\n  - {name: faulty, command: faulty}\n")
	for name, settings := range workers {
		write(t, filepath.Join(dir, "workers", name, "config/worker.yaml"), "path: /\nhosts: ["+name+".test]\ntype: faulty\nfaulty: "+settings+"\n")
	}
	return dir
}

// of asks the worker with that host name; status 0 is an answer that broke off.
func (s *server) of(t *testing.T, c *http.Client, worker, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.http+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = worker + ".test"
	res, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(text)
}

// Whatever a plugin of a third party does, it is dealt with, and the worker beside
// does not lose a request.
func TestFaultyPlugins(t *testing.T) {
	t.Parallel()
	dir := faultyFolder(t, map[string]string{
		"loops": "{}", "hangs": "{}", "floods": "{flood: 4000000}", "halves": "{}", "leaks": "{leak: true, hidden: true, child: true}",
		"stays": "{stop: hang}",
	})
	s := start(t, options{dir: dir, sets: []string{"server.drain_timeout=3s"}})
	s.allow("ended before it answered", "ended in the midst", "crash loop", "crashes in a row", "hangs", "panic in the worker", "broke off", "in the midst", "killed after")
	c := newClient(t)
	stop, answers := hammer(t, "http://"+s.http+"/", 1)
	pid := func(worker string) (number string) {
		t.Helper()
		poll(t, time.Minute, "worker "+worker+" answers", func() bool {
			status, body := s.of(t, c, worker, "/")
			number = body
			return status == 200 && strings.HasPrefix(body, "pid ")
		})
		return number
	}
	for _, worker := range []string{"loops", "hangs", "floods", "halves", "leaks", "stays"} {
		pid(worker)
	}

	t.Run("a crash loop is told with what it printed", func(t *testing.T) {
		for range 3 {
			before := pid("loops")
			if status, body := s.of(t, c, "loops", "/exit"); status != 0 {
				t.Errorf("half an answer passed for whole: %d %q", status, body)
			}
			poll(t, time.Minute, "another process", func() bool { return pid("loops") != before })
		}
		line := s.log.wait(t, time.Minute, 0, "crash loop")
		if line.level != "ERROR" || line.text("worker") != "loops" || !line.has("no way to go on", "exit status 5") {
			t.Errorf("%s", line.raw)
		}
		stdout, stderr, code := s.command(t, "status")
		if code != 0 || !hasAll(stdout, []string{"degraded", "3 times in a row", "no way to go on"}) {
			t.Errorf("status: %d %s%s", code, stdout, stderr)
		}
	})
	t.Run("one that hangs is replaced", func(t *testing.T) {
		before := pid("hangs")
		if status, body := s.of(t, c, "hangs", "/freeze"); status != 502 {
			t.Errorf("%d %q", status, body)
		}
		if after := pid("hangs"); after == before {
			t.Errorf("still %s", after)
		}
		s.log.wait(t, time.Minute, 0, "it hangs: no answer to")
	})
	t.Run("a log that is flooded stays bounded", func(t *testing.T) {
		from := s.log.len()
		if status, body := s.of(t, c, "floods", "/lines?n=100000"); status != 200 || body != "ok" {
			t.Errorf("%d %q", status, body)
		}
		pid("floods")
		var size int
		for _, line := range s.log.all()[from:] {
			size = max(size, len(line.raw))
		}
		if size > 64<<10 {
			t.Errorf("a line of %d bytes", size)
		}
	})
	t.Run("half an answer breaks off", func(t *testing.T) {
		before := pid("halves")
		if status, body := s.of(t, c, "halves", "/half"); status != 0 {
			t.Errorf("%d %q", status, body)
		}
		if after := pid("halves"); after != before {
			t.Errorf("it was replaced: %s, was %s", after, before)
		}
	})

	// The rest of the world did not notice.
	stop()
	for answer, n := range answers() {
		if !strings.HasPrefix(answer, "200 ") {
			t.Errorf("the other worker: %d times %.200q", n, answer)
		}
	}

	// Children that were leaked, and a plugin that does not stop, are ended.
	family := s.family()
	s.over = true
	s.signal(t, unix.SIGTERM)
	if code := s.wait(t, time.Minute); code != 3 {
		t.Errorf("exit code %d, though something had to be cut off", code)
	}
	s.gone(t, family)
}

// A plugin that never becomes ready, in one way or another, does not hold up the
// start for longer than it may take; what it said last is in the message.
func TestPluginNeverReady(t *testing.T) {
	t.Parallel()
	dir := faultyFolder(t, map[string]string{"late": "{run: unready}"})
	for run, want := range map[string]string{
		"unready": "is not ready: about to do unready",
		"failed":  "no way to serve",
		"error":   "run went wrong",
		"exit":    "exit status 4",
		"freeze":  "late",
	} {
		write(t, filepath.Join(dir, "workers/late/config/worker.yaml"), "path: /\nhosts: [late.test]\ntype: faulty\nfaulty: {run: "+run+"}\n")
		s := launch(t, options{dir: dir, sets: []string{"server.start_timeout=8s"}})
		if code := s.wait(t, time.Minute); code != 1 || !strings.Contains(s.log.String(), want) {
			t.Errorf("%s: exit code %d: %s", run, code, s.log)
		}
		if left := s.family(); len(left) > 0 {
			t.Errorf("%s: left: %v", run, left)
		}
	}
}

// Limits of worker.yaml hold for Go workers and plugins of others.
func TestIsolationOfPlugins(t *testing.T) {
	t.Parallel()
	dir := faultyFolder(t, map[string]string{"bound": "{}"})
	const limits = "isolation: {files: 321, core: 0, nice: 3}\n"
	for _, name := range []string{"bound", "index"} {
		file := filepath.Join(dir, "workers", name, "config/worker.yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, string(text)+limits)
	}
	s := start(t, options{dir: dir})
	if status, body := s.of(t, newClient(t), "bound", "/"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	for _, program := range []string{"bin/index", dir + "/faulty"} {
		pid := s.plugin(t, program)
		text, err := os.ReadFile("/proc/" + itoa(pid.pid) + "/limits")
		if err != nil {
			t.Fatal(err)
		}
		if line := fieldsOf(text, "Max open files"); len(line) < 2 || line[0] != "321" || line[1] != "321" {
			t.Errorf("%s: open files %q", program, line)
		}
		if line := fieldsOf(text, "Max core file size"); len(line) < 1 || line[0] != "0" {
			t.Errorf("%s: core %q", program, line)
		}
		if nice, err := unix.Getpriority(unix.PRIO_PROCESS, pid.pid); err != nil || 20-nice != 3 {
			t.Errorf("%s: nice %d %v", program, 20-nice, err)
		}
	}
}

// The user of worker.yaml is that of Go workers and plugins of others.
func TestUserOfPlugins(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := faultyFolder(t, map[string]string{"bound": "{}"})
	for _, name := range []string{"bound", "index"} {
		file := filepath.Join(dir, "workers", name, "config/worker.yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, string(text)+"user: nobody\n")
	}
	s := start(t, options{dir: dir})
	if status, body := s.of(t, newClient(t), "bound", "/"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	must(t, newClient(t), 200, "GET", "http://"+s.http+"/", nil)
	for _, program := range []string{"bin/index", dir + "/faulty"} {
		status, err := os.ReadFile("/proc/" + itoa(s.plugin(t, program).pid) + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Uid:", "Gid:"} {
			if line := fieldsOf(status, name); len(line) != 4 || slices.Contains(line, "0") {
				t.Errorf("%s: %s %q", program, name, line)
			}
		}
	}
}

// fieldsOf are what follows a name that begins a line.
func fieldsOf(text []byte, name string) []string {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return strings.Fields(string(rest))
		}
	}
	return nil
}
