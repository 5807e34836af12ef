package e2e

import (
	"os"
	"strings"
	"testing"
	"time"
)

// With server.watch a changed file is taken over by itself, once, a mistake is told
// and mended, and what changes nothing is left alone.
func TestWatchedFilesAreReloaded(t *testing.T) {
	t.Parallel()
	needPHP(t)
	watched := strings.Replace(baseConfig, "server:", "server:\n  watch: true", 1)
	s := start(t, options{files: map[string]string{appYAML: workerYAML("one"), "config/tqserver.yaml": watched}})
	s.allow("reload failed", "go on as they were")
	at := s.log.len()
	expect := func(words ...string) {
		t.Helper()
		s.log.wait(t, 20*time.Second, at, words...)
		at = s.log.len()
	}
	here := front{address: s.http}

	// As an editor does: a new file takes the name of the old one.
	write(t, s.path(appYAML+".new"), workerYAML("two"))
	if err := os.Rename(s.path(appYAML+".new"), s.path(appYAML)); err != nil {
		t.Fatal(err)
	}
	expect(`"msg":"reloaded"`)
	if got := mark(t, here); got != "two" {
		t.Errorf("a script sees %q", got)
	}
	// A folder comes, with its file a moment later.
	write(t, s.path("workers/second/public/index.php"), "<?php echo 'second';")
	write(t, s.path("workers/second/config/worker.yaml"), "path: /second\ntype: php\ndocument_root: public\n")
	expect(`"msg":"reloaded"`)
	if a := must(t, newClient(t), 200, "GET", "http://"+s.http+"/second/", nil); a.body != "second" {
		t.Errorf("%q", a.body)
	}
	// A mistake, and its repair.
	write(t, s.path("config/tqserver.yaml"), watched+"nonsense:\n")
	expect("reload failed", "nonsense")
	write(t, s.path("config/tqserver.yaml"), watched)
	expect(`"msg":"reloaded"`)
	// A folder goes.
	if err := os.RemoveAll(s.path("workers/second")); err != nil {
		t.Fatal(err)
	}
	expect(`"msg":"reloaded"`)
	must(t, newClient(t), 404, "GET", "http://"+s.http+"/second/", nil)
	// The same content again, and a file that is none of ours.
	write(t, s.path("config/tqserver.yaml"), watched)
	write(t, s.path("config/notes.txt"), "x")
	if becomes(time.Second, func() bool { _, ok := s.log.find(at, "reload"); return ok }) {
		t.Error("reloaded without a change")
	}
	// Watching is switched off by what it takes over, and is on again by a reload.
	write(t, s.path("config/tqserver.yaml"), baseConfig)
	expect(`"msg":"reloaded"`)
	write(t, s.path(appYAML), workerYAML("three"))
	if becomes(time.Second, func() bool { _, ok := s.log.find(at, "reload"); return ok }) {
		t.Error("reloaded though nothing is watched")
	}
	write(t, s.path("config/tqserver.yaml"), watched)
	s.hangup(t)
	if got := mark(t, here); got != "three" {
		t.Errorf("a script sees %q", got)
	}
	at = s.log.len()
	write(t, s.path(appYAML), workerYAML("four"))
	expect(`"msg":"reloaded"`)
}
