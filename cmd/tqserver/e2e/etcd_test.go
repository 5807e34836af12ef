package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// etcd is a real one of the test's own.
type etcd struct {
	client, peer, data string
	cmd                *exec.Cmd
	output             bytes.Buffer
}

func startEtcd(t *testing.T) *etcd {
	t.Helper()
	for _, name := range []string{"etcd", "etcdctl"} {
		if _, err := exec.LookPath(name); err != nil {
			skip(t, name+" is not installed")
		}
	}
	e := &etcd{client: freePort(t), peer: freePort(t), data: filepath.Join(t.TempDir(), "data")}
	t.Cleanup(e.kill)
	e.start(t)
	return e
}

func (e *etcd) start(t *testing.T) {
	t.Helper()
	e.cmd = exec.Command("etcd", "--data-dir", e.data, "--listen-client-urls", "http://"+e.client, "--advertise-client-urls", "http://"+e.client,
		"--listen-peer-urls", "http://"+e.peer, "--initial-advertise-peer-urls", "http://"+e.peer, "--initial-cluster", "default=http://"+e.peer)
	e.cmd.Stdout, e.cmd.Stderr = &e.output, &e.output
	e.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !becomes(60*time.Second, func() bool { return e.ctl("endpoint", "health") == nil }) {
		e.kill()
		t.Fatalf("etcd does not start:\n%s", e.output.String())
	}
}

func (e *etcd) kill() {
	if e.cmd != nil && e.cmd.ProcessState == nil {
		_ = e.cmd.Process.Kill()
		_ = e.cmd.Wait()
	}
}

func (e *etcd) ctl(args ...string) error {
	cmd := exec.Command("etcdctl", append([]string{"--endpoints", e.client}, args...)...)
	cmd.Env = append(os.Environ(), "ETCDCTL_API=3")
	return cmd.Run()
}

func (e *etcd) put(t *testing.T, key, text string) {
	t.Helper()
	if err := e.ctl("put", "--", key, text); err != nil {
		t.Fatalf("etcdctl put %s: %v", key, err)
	}
}

// etcdFolder is a server's folder without configuration, which is put into etcd: the
// main file, one it includes, and the worker's.
func etcdFolder(t *testing.T, e *etcd, mark string) (dir string) {
	t.Helper()
	dir = folder(t, options{})
	for _, name := range []string{"config", "workers/app/config"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	e.put(t, "/web/tq/tqserver.yaml", "include: ['config.d/*.yaml']"+baseConfig)
	e.put(t, "/web/tq/config.d/10-http.yaml", "http:\n  idle_timeout: 77s\n")
	e.put(t, "/web/tq/workers/app/worker.yaml", workerYAML(mark))
	return dir
}

// A server takes its configuration and its workers from etcd, follows them, keeps what
// is good when something is wrong or etcd is gone, and follows them again.
func TestConfigurationFromEtcd(t *testing.T) {
	t.Parallel()
	needPHP(t)
	e := startEtcd(t)
	dir := etcdFolder(t, e, "one")
	config := "etcd://" + e.client + "/web/tq"
	s := start(t, options{dir: dir, config: config})
	s.allow("reload failed", "go on as they were")
	at := front{address: s.http}
	if got := mark(t, at); got != "one" {
		t.Errorf("a script sees %q", got)
	}
	reloaded := func(from int, words ...string) {
		t.Helper()
		for _, word := range words {
			s.log.wait(t, 30*time.Second, from, word)
		}
	}

	// Commands read it, too, and know where each value stands.
	stdout, stderr, code := run(t, dir, "config", "show", "--origin", "--config", config, "http")
	if code != 0 || !strings.Contains(stdout, "idle_timeout: 1m17s # "+config+"/config.d/10-http.yaml:2:3\n") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	var values []struct {
		Path, Layer, Name string
		Line              int
	}
	stdout, _, _ = run(t, dir, "config", "show", "--origin", "--format", "json", "--config", config, "fastcgi")
	if err := json.Unmarshal([]byte(stdout), &values); err != nil || values[0].Layer != "etcd" || values[0].Name != config+"/tqserver.yaml" || values[0].Line != 5 {
		t.Errorf("%v %+v", err, values)
	}
	if stdout, stderr, code = run(t, dir, "check", "--config", config); code != 0 || stdout != config+": the configuration is valid\n" {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}

	// A change is served.
	from := s.log.len()
	e.put(t, "/web/tq/workers/app/worker.yaml", workerYAML("two"))
	reloaded(from, "the configuration in etcd has changed", `"msg":"reloaded"`)
	if got := mark(t, at); got != "two" {
		t.Errorf("a script sees %q", got)
	}

	// What is wrong is told with key, line and column, all of it; what was good goes on.
	from = s.log.len()
	e.put(t, "/web/tq/config.d/10-http.yaml", "http:\n  idle_timeout: 5\n  lisen: []\n")
	reloaded(from, "reload failed")
	line, _ := s.log.find(from, "reload failed")
	bad := []string{config + "/config.d/10-http.yaml:2:3: http.idle_timeout: 5 has no unit", config + "/config.d/10-http.yaml:3:3: http.lisen: unknown key", "did you mean listen?"}
	if !hasAll(line.text("error"), bad) {
		t.Error(line.raw)
	}
	if _, stderr, code = run(t, dir, "check", "--config", config); code != 1 || !hasAll(stderr, bad) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code = run(t, dir, "reload", "--socket", "run/control.sock"); code != 1 || !hasAll(stderr, bad) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	from = s.log.len()
	e.put(t, "/web/tq/config.d/10-http.yaml", "http:\n  idle_timeout: 78s\n")
	reloaded(from, `"msg":"reloaded"`)
	from = s.log.len()
	e.put(t, "/web/tq/workers/app/worker.yaml", "path: /\ntype: php\ndocument_root: nowhere\n")
	reloaded(from, config+"/workers/app/worker.yaml:3:1: document_root", `"msg":"reloaded"`)
	if got := mark(t, at); got != "two" {
		t.Errorf("a script sees %q", got)
	}
	// A name that nothing reads would be overlooked there, and so would a worker twice.
	e.put(t, "/web/tq/workers/app/worker.yaml", workerYAML("two"))
	for key, words := range map[string]string{
		"/web/tq/tqserver.yml": "nothing reads this", "/web/tq/workers/app/config.yaml": "is no worker's", "/web/tq/workers/new/worker.yaml": "there is no folder",
	} {
		e.put(t, key, "path: /new\ntype: php\ndocument_root: public\n")
		if _, stderr, code = run(t, dir, "check", "--config", config); code != 1 || !hasAll(stderr, []string{"etcd://" + e.client + key, words}) {
			t.Errorf("exit code %d: %s", code, stderr)
		}
		if err := e.ctl("del", key); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s.path(appYAML), workerYAML("here"))
	if _, stderr, code = run(t, dir, "check", "--config", config); code != 1 || !hasAll(stderr, []string{"is defined by " + appYAML + ", too"}) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if err := os.RemoveAll(s.path("workers/app/config")); err != nil {
		t.Fatal(err)
	}

	// etcd dies: the server serves on, and says why a reload is not possible.
	from = s.log.len()
	e.kill()
	reloaded(from, "etcd is away")
	if got := mark(t, at); got != "two" {
		t.Errorf("without etcd a script sees %q", got)
	}
	if _, stderr, code = run(t, dir, "reload", "--socket", "run/control.sock"); code != 1 || !hasAll(stderr, []string{"serves on", "etcd does not answer"}) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if got := mark(t, at); got != "two" {
		t.Errorf("without etcd a script sees %q", got)
	}
	e.start(t)
	reloaded(from, "etcd is back")
	from = s.log.len()
	e.put(t, "/web/tq/workers/app/worker.yaml", workerYAML("three"))
	reloaded(from, `"msg":"reloaded"`)
	if got := mark(t, at); got != "three" {
		t.Errorf("a script sees %q", got)
	}
}

// Without etcd a server does not start, and says so; with a copy of what it served by
// last it does, and takes over what etcd has when it is back.
func TestStartWithoutEtcd(t *testing.T) {
	t.Parallel()
	needPHP(t)
	e := startEtcd(t)
	dir := etcdFolder(t, e, "one")
	config := "etcd://" + e.client + "/web/tq"
	copied := config + "?copy=" + filepath.Join(dir, "copy.json")
	first := launch(t, options{dir: dir, config: copied})
	poll(t, startWait, "the server is ready", func() bool {
		_, ok := first.log.find(0, `"msg":"ready"`)
		return ok && exists(filepath.Join(dir, "copy.json"))
	})
	first.signal(t, unix.SIGTERM)
	if code := first.wait(t, startWait); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, first.log)
	}
	e.put(t, "/web/tq/workers/app/worker.yaml", workerYAML("two"))
	e.kill()

	if _, stderr, code := run(t, dir, "serve", "--config", config); code != 1 || !hasAll(stderr, []string{config, "etcd does not answer within 5s", "refused", "etcdctl --endpoints=" + e.client}) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	second := start(t, options{dir: dir, config: copied})
	if _, ok := second.log.find(0, "the copy of what was served last is used"); !ok {
		t.Error("nothing is said of the copy")
	}
	at := front{address: second.http}
	if got := mark(t, at); got != "one" {
		t.Errorf("a script sees %q", got)
	}
	if stdout, stderr, code := run(t, dir, "status", "--config", copied); code != 0 || !strings.Contains(stdout, "app") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	e.start(t)
	second.log.wait(t, 60*time.Second, 0, `"msg":"reloaded"`)
	if got := mark(t, at); got != "two" {
		t.Errorf("a script sees %q", got)
	}
}
