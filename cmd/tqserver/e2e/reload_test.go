package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// workerYAML is the app worker with a mark that its scripts see.
func workerYAML(mark string) string {
	return "path: /\ntype: php\ndocument_root: public\nphp:\n  env: {APP_ENV: " + mark + "}\n  pool: {max_workers: 8}\n"
}

const appYAML = "workers/app/config/worker.yaml"

// hangup reloads by SIGHUP and waits for the line that says how it ended.
func (s *server) hangup(t *testing.T) logLine {
	t.Helper()
	from := s.log.len()
	s.signal(t, unix.SIGHUP)
	var line logLine
	poll(t, 20*time.Second, "a reload has ended", func() (ok bool) {
		if line, ok = s.log.find(from, `"msg":"reloaded"`); !ok {
			line, ok = s.log.find(from, "reload failed")
		}
		return ok
	})
	return line
}

// mark is what a script of worker app sees in its environment.
func mark(t *testing.T, f front) string {
	t.Helper()
	return decode[seen](t, must(t, newClient(t), 200, "GET", f.url("/srv.php"), nil).body).Env["APP_ENV"]
}

// Fifty clients with kept connections: requests that run during a reload end as they would have, on every front, and
// what changed is there for the next one.
func TestReloadUnderLoadLosesNoRequest(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{appYAML: workerYAML("m0")}})
	fronts := s.fronts(t)
	short := startLoad(t, 34, urls(fronts, "/sleep.php?ms=5")...)
	long := startLoad(t, 6, urls(fronts, "/sleep.php?ms=300")...)
	posts := startPosts(t, 10, urls(fronts, "/echo.php")...)
	for i := range 12 {
		config := baseConfig
		switch i % 4 {
		case 1: // both fronts get new settings, and so new servers
			config = strings.Replace(config, "http:", fmt.Sprintf("http:\n  idle_timeout: %ds", 60+i), 1)
			config = strings.Replace(config, "fastcgi:", fmt.Sprintf("fastcgi:\n  idle_timeout: %ds", 60+i), 1)
		case 2: // the worker gets fresh processes
			write(t, s.path(appYAML), workerYAML(fmt.Sprint("m", i)))
		case 3: // addresses are added; taken out again by the next
			config = strings.Replace(config, `"unix:f.sock"`, `"unix:f.sock", "unix:g.sock"`, 1)
		}
		write(t, s.path("config/tqserver.yaml"), config)
		if line := s.hangup(t); line.msg != "reloaded" {
			t.Fatalf("reload %d: %s", i, line.raw)
		}
		if got, want := mark(t, fronts[i%len(fronts)]), fmt.Sprint("m", i/4*4+2); i%4 == 2 && got != want {
			t.Errorf("after reload %d a script sees %q, want %q", i, got, want)
		}
		if i%4 == 3 != exists(s.path("g.sock")) && !becomes(5*time.Second, func() bool { return i%4 == 3 == exists(s.path("g.sock")) }) {
			t.Errorf("after reload %d: g.sock is there: %t", i, exists(s.path("g.sock")))
		}
		short.more(t, 20)
	}
	short.end(t)
	long.end(t)
	posts.end(t)
	t.Logf("%d short, %d long, %d posted requests", short.served.Load(), long.served.Load(), posts.served.Load())
	if text := fronts[1].nginx.errors(); strings.Contains(text, "[error]") {
		t.Error("nginx, which tries again without a word to its client, saw connections fail")
	}
}

// A kept connection goes through a reload that does not concern its front, and is
// told to end by one that does.
func TestReloadKeepsConnections(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{appYAML: workerYAML("before")}})
	c := dial(t, "tcp", s.http)
	ask := func() (answer, error) { return exchange(c, "GET /srv.php HTTP/1.1\r\nHost: h\r\n\r\n") }
	first, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.path(appYAML), workerYAML("after"))
	s.hangup(t)
	second, err := ask()
	if err != nil || second.Close {
		t.Fatalf("the connection did not survive: %v, to be closed: %t", err, second.Close)
	}
	for want, a := range map[string]answer{"before": first, "after": second} {
		if got := decode[seen](t, a.body).Env["APP_ENV"]; got != want {
			t.Errorf("the script saw %q, want %q", got, want)
		}
	}
	write(t, s.path("config/tqserver.yaml"), strings.Replace(baseConfig, "http:", "http:\n  idle_timeout: 61s", 1))
	s.hangup(t)
	third, err := ask()
	if err != nil || third.StatusCode != 200 || !third.Close {
		t.Fatalf("%v %v; wanted an answer that ends the connection", err, third.Response)
	}
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes after the end", n)
	}
}

// A request goes on in the processes it began in.
func TestReloadLetsARunningRequestFinish(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{appYAML: workerYAML("before")}})
	gate := unique(t)
	wait := later(newClient(t), "http://"+s.http+"/gate.php?name="+gate)
	old := s.atGate(t, gate)
	write(t, s.path(appYAML), workerYAML("after"))
	s.hangup(t)
	if got := mark(t, front{address: s.http}); got != "after" {
		t.Errorf("a script sees %q", got)
	}
	if !old.alive() {
		t.Fatal("the process of a running request has ended")
	}
	s.open(t, gate)
	if a, err := wait(); err != nil || a.body != "after" {
		t.Errorf("%v %v", err, a.Response)
	}
	poll(t, 10*time.Second, "the old process has ended", func() bool { return !old.alive() })
}

// Each of several generations ends after its own last request.
func TestSeveralGenerationsDrainAtOnce(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{appYAML: workerYAML("g0")}})
	var old []proc
	var gates []string
	var waits []func() (answer, error)
	for i := range 3 {
		gate := fmt.Sprint(unique(t), i)
		waits = append(waits, later(newClient(t), "http://"+s.http+"/gate.php?name="+gate))
		old, gates = append(old, s.atGate(t, gate)), append(gates, gate)
		write(t, s.path(appYAML), workerYAML(fmt.Sprint("g", i+1)))
		if line := s.hangup(t); line.msg != "reloaded" {
			t.Fatal(line.raw)
		}
	}
	if got := len(living(old)); got != 3 {
		t.Errorf("%d of 3 processes with a running request live", got)
	}
	for _, i := range []int{1, 0, 2} { // in no order
		s.open(t, gates[i])
		if a, err := waits[i](); err != nil || a.body != "after" {
			t.Errorf("request %d: %v %v", i, err, a.Response)
		}
		poll(t, 10*time.Second, "its process has ended", func() bool { return !old[i].alive() })
	}
	s.onePHP(t)
}

// SIGTERM while a reload is under way, and an older generation drains.
func TestStopDuringReload(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{appYAML: workerYAML("one")}})
	s.over = true
	s.allow("reload failed")
	gate := unique(t)
	wait := later(newClient(t), "http://"+s.http+"/gate.php?name="+gate)
	s.atGate(t, gate)
	write(t, s.path(appYAML), workerYAML("two"))
	s.hangup(t)
	// A worker that takes its time to start.
	slow := s.path("slow.sh")
	write(t, slow, "#!/bin/sh\n: >"+s.path("slow.started")+"\nread x <"+s.path("slow.fifo")+"\n")
	if err := errors.Join(os.Chmod(slow, 0o755), unix.Mkfifo(s.path("slow.fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	write(t, s.path("workers/slow/config/worker.yaml"), "path: /slow\ntype: php\ndocument_root: .\nphp: {binary: "+slow+"}\n")
	s.signal(t, unix.SIGHUP)
	poll(t, 10*time.Second, "the slow worker starts", func() bool { return exists(s.path("slow.started")) })
	family := s.family()
	s.signal(t, unix.SIGTERM)
	s.log.wait(t, 5*time.Second, 0, "reload failed", "stopping")
	s.open(t, gate)
	if a, err := wait(); err != nil || a.body != "after" {
		t.Errorf("%v %v", err, a.Response)
	}
	if code := s.wait(t, 20*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.gone(t, family)
}

func TestFailedReloadChangesNothing(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{appYAML: workerYAML("before")}})
	s.allow("reload failed")
	fronts := s.fronts(t)
	l := startLoad(t, 8, urls(fronts, "/sleep.php?ms=5")...)
	for name, test := range map[string]struct {
		config string
		words  []string
	}{
		"syntax":        {"http: [\n", []string{"config/tqserver.yaml:"}},
		"several":       {strings.Replace(baseConfig, "static:", "static: {nonsense: 1}\nnowhere:", 1), []string{"static.nonsense", "nowhere"}},
		"workers":       {strings.Replace(baseConfig, "workers: workers", "workers: none", 1), []string{"backend.workers", "none"}},
		"address taken": {strings.Replace(baseConfig, `"unix:f.sock"`, `"unix:g.sock", "`+fronts[1].address+`"`, 1), []string{fronts[1].address, "fastcgi.listen[2]"}},
		"fixed":         {baseConfig + "\n", []string{"server.runtime_folder", "cannot change"}},
	} {
		if name == "fixed" {
			test.config = strings.Replace(baseConfig, "server:", "server:\n  runtime_folder: run2", 1)
		}
		write(t, s.path("config/tqserver.yaml"), test.config)
		line := s.hangup(t)
		if line.msg == "reloaded" || !line.has(test.words...) {
			t.Errorf("%s: not all of %q in %s", name, test.words, line.raw)
		}
		if exists(s.path("g.sock")) {
			t.Errorf("%s: what half succeeded was not undone", name)
		}
		if got := mark(t, fronts[0]); got != "before" {
			t.Errorf("%s: a script sees %q", name, got)
		}
	}
	l.end(t)
	s.onePHP(t)
}

// What only the worker's plugin can see, and what only its start shows: that worker goes on as it was, a new one stays
// away, the rest is taken over, and all of it is told.
func TestWorkerRefusedByItsPluginGoesOn(t *testing.T) {
	t.Parallel()
	needPHP(t)
	const otherYAML, newYAML = "workers/other/config/worker.yaml", "workers/new/config/worker.yaml"
	other := func(body string) map[string]string {
		return map[string]string{
			otherYAML: "path: /other\ntype: php\ndocument_root: public\nphp: {env: {MARK: " + body + "}, pool: {max_workers: 2}}\n",
		}
	}
	s := start(t, options{files: map[string]string{
		appYAML: workerYAML("before"), otherYAML: other("m0")[otherYAML], "workers/other/public/index.php": "<?php echo getenv('MARK');",
	}})
	s.allow("go on as they were")
	fronts := s.fronts(t)
	c := newClient(t)
	l := startLoad(t, 4, urls(fronts, "/sleep.php?ms=5")...)
	n := 0
	for name, php := range map[string]string{
		"no such program": "binary: /nowhere/php-cgi", "no such setting": "admin_settings: {memory_limitt: 1M}",
		"a program that ends": "binary: /bin/false",
	} {
		n++
		bad := "type: php\ndocument_root: public\nphp:\n  env: {APP_ENV: bad}\n  " + php + "\n"
		write(t, s.path(appYAML), "path: /\n"+bad)
		write(t, s.path(newYAML), "path: /new\n"+bad)
		write(t, s.path("workers/new/public/index.php"), "new")
		mine := fmt.Sprint("m", n)
		write(t, s.path(otherYAML), other(mine)[otherYAML])

		stdout, stderr, code := s.command(t, "reload", "--dry-run")
		if code != 1 || !hasAll(stdout, []string{"kept      worker app", "as it was", "replaced  worker other"}) || !hasAll(stderr, []string{appYAML, newYAML}) {
			t.Errorf("%s: dry run: exit code %d: %s%s", name, code, stdout, stderr)
		}
		if got := must(t, c, 200, "GET", fronts[0].url("/other/"), nil).body; got == mine {
			t.Errorf("%s: a dry run changed something", name)
		}

		from := s.log.len()
		if line := s.hangup(t); line.msg != "reloaded" {
			t.Errorf("%s: %s", name, line.raw)
		}
		if line, ok := s.log.find(from, "go on as they were"); !ok || line.level != "ERROR" || !line.has("app", "new") {
			t.Errorf("%s: %s", name, line.raw)
		}
		if got := mark(t, fronts[0]); got != "before" {
			t.Errorf("%s: a script sees %q", name, got)
		}
		if got := must(t, c, 200, "GET", fronts[0].url("/other/"), nil).body; got != mine {
			t.Errorf("%s: the worker beside answers %q, want %q", name, got, mine)
		}
		must(t, c, 404, "GET", fronts[0].url("/new/"), nil)
		if stdout, _, code := s.command(t, "status"); code != 0 || !hasAll(stdout, []string{"Not taken over", "app", "new"}) {
			t.Errorf("%s: status: exit code %d: %s", name, code, stdout)
		}
	}

	// A reload that failed does not count: what served goes on, also when its file is wrong after that.
	s.allow("reload failed")
	write(t, s.path("config/tqserver.yaml"), strings.Replace(baseConfig, `"unix:f.sock"`, `"unix:f.sock", "`+fronts[1].address+`"`, 1))
	write(t, s.path(appYAML), strings.Replace(workerYAML("before"), "path: /", "path: /elsewhere", 1))
	if line := s.hangup(t); line.msg == "reloaded" {
		t.Errorf("an address that is taken: %s", line.raw)
	}
	write(t, s.path("config/tqserver.yaml"), baseConfig)
	write(t, s.path(appYAML), "path: /elsewhere\ntype: php\n")
	if line := s.hangup(t); line.msg != "reloaded" {
		t.Error(line.raw)
	}
	if got := mark(t, fronts[0]); got != "before" {
		t.Errorf("a script sees %q", got)
	}

	// Put right, it is taken over, and nothing is said any more.
	write(t, s.path(appYAML), workerYAML("after"))
	write(t, s.path(newYAML), "path: /new\ntype: php\ndocument_root: public\n")
	if stdout, stderr, code := s.command(t, "reload"); code != 0 || mark(t, fronts[0]) != "after" {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	must(t, c, 200, "GET", fronts[0].url("/new/"), nil)
	if stdout, _, _ := s.command(t, "status"); strings.Contains(stdout, "Not taken over") {
		t.Error(stdout)
	}
	l.end(t)
}

// startPosts is startLoad with bodies, whose answers must tell their size.
func startPosts(t *testing.T, clients int, urls ...string) *load {
	t.Helper()
	l := &load{stop: make(chan struct{})}
	c := newClient(t)
	const size = 10_000
	body := strings.Repeat("x", size)
	for i := range clients {
		l.clients.Go(func() {
			for n := i; ; n++ {
				select {
				case <-l.stop:
					return
				default:
				}
				url := urls[n%len(urls)]
				a, err := do(c, "POST", url, strings.NewReader(body))
				if err != nil || a.StatusCode != 200 || !strings.Contains(a.body, fmt.Sprintf(`"size":%d,`, size)) {
					l.failed.Add(1)
					l.first.CompareAndSwap(nil, fmt.Sprintf("POST %s: %v %v %.100q", url, err, a.Response, a.body))
				}
				l.served.Add(1)
			}
		})
	}
	return l
}
