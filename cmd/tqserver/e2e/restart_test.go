package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// New processes take over under load, again and again, and no request fails or
// waits for the old ones.
func TestRestartLosesNoRequest(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: appPool("max_workers: 4, start_workers: 2, warmup: [/answer.php]")})
	fronts := s.fronts(t)
	l := startLoad(t, 6, urls(fronts[:4], "/sleep.php?ms=5")...)
	l.more(t, 50)
	gate := unique(t)
	running := later(newClient(t), "http://"+s.http+"/gate.php?name="+gate)
	old := s.atGate(t, gate)
	for range 2 {
		before := s.phps()
		_, stderr, code := s.command(t, "restart", "app")
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		l.more(t, 50)
		for _, tree := range s.phps() {
			if len(before) == 1 && tree.parent.pid == before[0].parent.pid && tree.parent.pid != old.ppid {
				poll(t, 10*time.Second, "the old processes have gone", func() bool { return !tree.parent.alive() })
			}
		}
	}
	if !old.alive() {
		t.Error("a process that ran a request was ended")
	}
	s.open(t, gate)
	if a, err := running(); err != nil || a.StatusCode != 200 {
		t.Errorf("the request that ran: %v %v", err, a.Response)
	}
	l.end(t)
	poll(t, 10*time.Second, "one tree of processes is left", func() bool { return len(s.phps()) == 1 })
}

// A fresh opcache is what people restart for.
func TestRestartStartsAFreshOpcache(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: appPool("max_workers: 2")})
	srv := func() seen {
		return decode[seen](t, must(t, newClient(t), 200, "GET", "http://"+s.http+"/srv.php", nil).body)
	}
	before := srv().PID
	if _, stderr, code := s.command(t, "restart", "app"); code != 0 {
		t.Fatal(stderr)
	}
	if after := srv().PID; after == before {
		t.Error("the same process serves")
	}
}

// When the new processes do not start, or do not answer the warm-up, the old
// ones stay, and the command says why.
func TestRestartThatFailsKeepsTheOldProcesses(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{
		"workers/app/config/worker.yaml":   "path: /\ntype: php\ndocument_root: public\nphp:\n  config_file: php.ini\n  pool: {max_workers: 2, warmup: [/answer.php, /warm.php]}\n",
		"workers/app/php.ini":              "display_errors=0\n",
		"workers/app/public/warm.php":      "<?php echo 'warm';\n",
		"workers/other/config/worker.yaml": "path: /other\ntype: php\ndocument_root: public\nphp:\n  pool: {max_workers: 1}\n",
		"workers/other/public/x.php":       "<?php echo getmypid();\n",
	}})
	s.allow("warm.php", "php")
	other := must(t, newClient(t), 200, "GET", "http://"+s.http+"/other/x.php", nil).body
	l := startLoad(t, 2, "http://"+s.http+"/answer.php")
	for name, c := range map[string]struct{ file, text, good, want string }{
		"warm-up":  {"workers/app/public/warm.php", "<?php http_response_code(500);\n", "<?php echo 'warm';\n", "/warm.php"},
		"settings": {"workers/app/php.ini", "display_errors=0\n[broken\n", "display_errors=0\n", "php.ini"},
	} {
		before := s.onePHPOf(t, "app")
		write(t, s.path(c.file), c.text)
		// A script just found is not looked for again for a second.
		_, stderr, code := s.command(t, "restart", "app")
		if code != 1 || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "old") {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
		}
		if after := s.onePHPOf(t, "app"); after.parent.pid != before.parent.pid {
			t.Errorf("%s: another tree serves", name)
		}
		write(t, s.path(c.file), c.good)
	}
	l.more(t, 20)
	l.end(t)
	if _, stderr, code := s.command(t, "restart", "app"); code != 0 {
		t.Errorf("after the mend: %s", stderr)
	}
	if _, stderr, code := s.command(t, "restart", "nobody"); code != 1 || !strings.Contains(stderr, "nobody") {
		t.Errorf("a worker that is not there: %d %s", code, stderr)
	}
	if now := must(t, newClient(t), http.StatusOK, "GET", "http://"+s.http+"/other/x.php", nil).body; now != other {
		t.Errorf("the other worker's process changed from %s to %s", other, now)
	}
}

// onePHPOf is the one php-cgi tree of a worker among several.
func (s *server) onePHPOf(t *testing.T, worker string) php {
	t.Helper()
	var found []php
	poll(t, 10*time.Second, "one tree of "+worker, func() bool {
		found = found[:0]
		for _, tree := range s.phps() {
			cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", tree.parent.pid))
			if err == nil && strings.HasSuffix(cwd, "/workers/"+worker) {
				found = append(found, tree)
			}
		}
		return len(found) == 1
	})
	return found[0]
}
