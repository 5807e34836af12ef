package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// command runs a command against the server's own configuration.
func (s *server) command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return run(t, s.dir, append(args, "--config", "config/tqserver.yaml")...)
}

func TestReloadCommand(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{appYAML: workerYAML("one")}})
	s.allow("reload failed", "go on as they were")
	second := "workers/second/config/worker.yaml"

	// Nothing changed: nothing is touched.
	before := s.onePHP(t).parent
	stdout, stderr, code := s.command(t, "reload")
	if code != 0 || !hasAll(stdout, []string{"kept", "worker app", "http.listen[0]"}) || strings.Contains(stdout, "started") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if !before.alive() {
		t.Error("the worker was replaced by a reload that changes nothing")
	}

	// A dry run tells, and does nothing.
	write(t, s.path(appYAML), workerYAML("two"))
	write(t, s.path(second), "path: /second\ntype: php\ndocument_root: public\n")
	write(t, s.path("workers/second/public/index.php"), "<?php echo 'second';")
	stdout, stderr, code = s.command(t, "reload", "--dry-run")
	if code != 0 || !hasAll(stdout, []string{"replaced  worker app", "started   worker second"}) {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if must(t, newClient(t), 404, "GET", "http://"+s.http+"/second/", nil); !before.alive() {
		t.Error("a dry run changed something")
	}
	if _, _, code = s.command(t, "reload"); code != 0 || mark(t, front{address: s.http}) != "two" {
		t.Errorf("exit code %d", code)
	}
	if a := must(t, newClient(t), 200, "GET", "http://"+s.http+"/second/", nil); a.body != "second" {
		t.Errorf("the new worker answers %q", a.body)
	}

	// One broken worker goes on, the rest is taken over.
	write(t, s.path(second), "path: /second\ntype: php\ndocument_root: nowhere\n")
	write(t, s.path(appYAML), workerYAML("three"))
	_, stderr, code = s.command(t, "reload")
	if code != 1 || !hasAll(stderr, []string{second, "document_root", "go on as they were"}) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if a := must(t, newClient(t), 200, "GET", "http://"+s.http+"/second/", nil); a.body != "second" || mark(t, front{address: s.http}) != "three" {
		t.Errorf("the broken worker answers %q", a.body)
	}

	// A broken configuration changes nothing, and all is told.
	write(t, s.path("config/tqserver.yaml"), strings.Replace(baseConfig, "static:", "static: {nonsense: 1}\nnowhere:", 1))
	for _, args := range [][]string{{"reload"}, {"reload", "--dry-run"}} {
		_, stderr, code = s.command(t, args...)
		if code != 1 || !hasAll(stderr, []string{"config/tqserver.yaml:8:", "static.nonsense", "nowhere"}) {
			t.Errorf("%q: exit code %d: %s", args, code, stderr)
		}
	}
	write(t, s.path("config/tqserver.yaml"), baseConfig)

	// Its folder is gone, and so is the worker.
	if err := os.RemoveAll(s.path("workers/second")); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code = s.command(t, "reload")
	if code != 0 || !hasAll(stdout, []string{"stopped", "worker second"}) {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	s.onePHP(t)
}

func TestRestartCommand(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	fronts := s.fronts(t)
	l := startLoad(t, 6, urls(fronts, "/sleep.php?ms=5")...)
	before := s.onePHP(t).parent
	for range 3 {
		if stdout, stderr, code := s.command(t, "restart", "app"); code != 0 || stdout != "restarted app\n" {
			t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
		}
		l.more(t, 20)
	}
	l.end(t)
	if after := s.onePHP(t).parent; after.pid == before.pid {
		t.Error("the processes are the same")
	}
	if _, stderr, code := s.command(t, "restart", "nobody"); code != 1 || !hasAll(stderr, []string{"nobody", "no worker"}) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := s.command(t, "restart"); code != 1 || stderr == "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestStatusCommand(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	must(t, newClient(t), 200, "GET", "http://"+s.http+"/answer.php", nil)
	if stdout, stderr, code := s.command(t, "status"); code != 0 || !strings.Contains(stdout, "app") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	stdout, stderr, code := s.command(t, "status", "app", "--full")
	if code != 0 || !hasAll(stdout, []string{"pool:                 app", "accepted conn:        1", "active processes:", "pid:", "answer.php"}) {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	stdout, stderr, code = s.command(t, "status", "app", "--json")
	if page := decode[map[string]any](t, stdout); code != 0 || page["pool"] != "app" || page["accepted conn"] != 1.0 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	var list []map[string]any
	if stdout, stderr, code = s.command(t, "status", "--json"); code != 0 || json.Unmarshal([]byte(stdout), &list) != nil || len(list) != 1 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if _, stderr, code := s.command(t, "status", "nobody"); code != 1 || !strings.Contains(stderr, "nobody") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestCommandsWithoutAServer(t *testing.T) {
	t.Parallel()
	dir := folder(t, options{})
	for _, args := range [][]string{{"reload"}, {"restart", "app"}, {"status"}} {
		_, stderr, code := run(t, dir, append(args, "--config", "config/tqserver.yaml")...)
		if code != 1 || !hasAll(stderr, []string{"run/control.sock", "does it run?", "server.runtime_folder"}) {
			t.Errorf("%q: exit code %d: %s", args, code, stderr)
		}
	}
	if _, stderr, code := run(t, dir, "status", "--socket", dir+"/x.sock"); code != 1 || !strings.Contains(stderr, dir+"/x.sock") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestSecondServerOnOneConfiguration(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	if mode := mustMode(t, s.path("run/control.sock")); mode != 0o600 {
		t.Errorf("the control socket's mode is %o", mode)
	}
	_, stderr, code := s.command(t, "serve")
	if code != 1 || !hasAll(stderr, []string{"server.control_socket", "control.sock", itoa(s.pid)}) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := s.command(t, "status"); code != 0 {
		t.Errorf("the first server lost its control socket: %s", stderr)
	}
	if _, stderr, code := s.command(t, "check"); code != 0 {
		t.Errorf("check: %s", stderr)
	}
}
