package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestChildKilledInMidRequest(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			gate := unique(t)
			mark := s.log.len()
			s.allow("gate.php") // the one line about the lost request may be an error
			wait := later(c, f.url("/gate.php?name="+gate))
			kill(t, s.atGate(t, gate))
			killed := time.Now()
			a, err := wait()
			if err != nil || a.StatusCode != http.StatusBadGateway {
				t.Fatalf("want 502, have %v %v", err, a.Response)
			}
			if took := time.Since(killed); took > 10*time.Second {
				t.Errorf("502 came after %v", took)
			}
			// Who, what, why: the worker, the path, the client, the reason.
			line := s.log.wait(t, 2*time.Second, mark, `"status":502`, "gate.php")
			if !line.has("app") || !line.has("127.0.0.1") || line.text("error") == "" {
				t.Errorf("the log line does not say who, what and why: %s", line.raw)
			}
			must(t, c, 200, "GET", f.url("/answer.php"), nil)
			poll(t, 5*time.Second, "four children and the spare one again", func() bool { return len(s.onePHP(t).children) == 5 })
		})
	}
}

func TestChildKilledAfterPartOfTheResponse(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	for _, f := range s.fronts(t) {
		for _, length := range []string{"", "&length=200000"} {
			t.Run(f.name+length, func(t *testing.T) {
				gate := unique(t)
				mark := s.log.len()
				s.allow("gate.php")
				c := newClient(t)
				c.Timeout = 5 * time.Second
				res, err := c.Get(f.url("/gate.php?unbuffered&before=100000&name=" + gate + length))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if n, err := io.ReadFull(res.Body, make([]byte, 100_000)); err != nil {
					t.Fatalf("%d bytes, %v", n, err)
				}
				kill(t, s.atGate(t, gate))
				rest, err := io.ReadAll(res.Body)
				if err == nil {
					t.Errorf("the response looks complete after %d more bytes", len(rest))
				} else if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
					t.Errorf("the client still waits: %v", err)
				}
				s.log.wait(t, 2*time.Second, mark, "gate.php")
				if f.nginx != nil {
					// Of a plain close nginx takes notice in a few settings only.
					poll(t, 2*time.Second, "nginx says that the upstream broke off", func() bool {
						text := f.nginx.errors()
						return strings.Contains(text, "upstream prematurely closed") || strings.Contains(text, "Connection reset by peer") ||
							strings.Contains(text, "upstream sent unsupported FastCGI protocol version")
					})
				}
				must(t, newClient(t), 200, "GET", f.url("/answer.php"), nil)
			})
		}
	}
	// The protocol's own sign: the connection closes without END_REQUEST.
	t.Run("raw FastCGI", func(t *testing.T) {
		gate := unique(t)
		s.allow("gate.php")
		c := dial(t, "unix", s.unix)
		if _, err := c.Write(request(1, true, nil, s.scriptParams("/gate.php", "QUERY_STRING", "unbuffered&before=10&name="+gate)...)); err != nil {
			t.Fatal(err)
		}
		p := s.atGate(t, gate)
		if _, err := io.ReadFull(c, make([]byte, 8)); err != nil { // its first output has come
			t.Fatal(err)
		}
		kill(t, p)
		rest, err := io.ReadAll(c)
		if err != nil && !errors.Is(err, unix.ECONNRESET) {
			t.Fatal(err)
		}
		if strings.Contains(string(rest), string([]byte{1, fcgiEnd, 0, 1})) {
			t.Errorf("END_REQUEST after a broken-off response: %q", rest)
		}
	})
}

// Idle children are what the parent's death must not cost; a request that a
// child of the old parent runs is finished by it.
func TestPHPParentKilled(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	s.allow("php-cgi parent")
	fronts := s.fronts(t)
	old := s.onePHP(t)
	c := newClient(t)
	gate := unique(t)
	wait := later(c, fronts[0].url("/gate.php?name="+gate))
	running := s.atGate(t, gate)
	l := startLoad(t, 8, urls(fronts, "/sleep.php?ms=3")...)
	l.more(t, 50)
	kill(t, old.parent)
	killed := time.Now()
	poll(t, 5*time.Second, "a new php-cgi parent", func() bool {
		return slices.ContainsFunc(s.phps(), func(p php) bool {
			return p.parent.pid != old.parent.pid && len(p.children) > 0 && !slices.Contains(old.children, p.parent) && notIn(old.children, p.parent)
		})
	})
	t.Logf("a new php-cgi parent after %v", time.Since(killed)) // a quiet machine: below 1 s
	l.more(t, 200)
	s.open(t, gate)
	if a, err := wait(); err != nil || a.StatusCode != 200 || a.body != "after" {
		t.Errorf("the request that ran: %v %v %q", err, a.Response, a.body)
	}
	l.end(t)
	poll(t, 10*time.Second, "the old children have ended", func() bool { return len(living(append(old.children, running))) == 0 })
}

func notIn(procs []proc, p proc) bool {
	return !slices.ContainsFunc(procs, func(q proc) bool { return q.pid == p.pid })
}

// With all children idle the pool lets go of the old ones at once.
func TestPHPKilledWhileIdle(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	s.allow("php-cgi parent")
	c := newClient(t)
	url := "http://" + s.http + "/answer.php"
	for range 2 {
		for name, victim := range map[string]func() proc{
			"child":  func() proc { return s.onePHP(t).children[0] },
			"parent": func() proc { return s.onePHP(t).parent },
			"plugin": func() proc { return s.plugin(t, "plugin php") },
		} {
			must(t, c, 200, "GET", url, nil) // leaves a kept connection
			old := s.onePHP(t)
			kill(t, victim())
			must(t, c, 200, "GET", url, nil)
			poll(t, 5*time.Second, "four idle children and the spare one after the death of the "+name, func() bool {
				trees := s.phps()
				return len(trees) == 1 && len(trees[0].children) == 5 && (name == "child" || trees[0].parent.pid != old.parent.pid)
			})
			must(t, c, 200, "GET", url, nil)
		}
	}
}

// A crash loop stops the parent, so that it forks no more. The kernel hangs up a
// process group that loses its plugin in that state; the requests go on.
func TestPHPPluginKilledWhileItsParentIsStopped(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: appPool("max_workers: 4")})
	old := s.onePHP(t)
	gate := unique(t)
	wait := later(newClient(t), "http://"+s.http+"/gate.php?name="+gate)
	running := s.atGate(t, gate)
	begun := time.Now()
	sleeps := later(newClient(t), "http://"+s.http+"/spin.php?how=sleep&ms=3000")
	poll(t, 5*time.Second, "two requests run", func() bool { return s.status(t).Active == 2 })
	if err := unix.Kill(old.parent.pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	kill(t, s.plugin(t, "plugin php"))
	poll(t, 30*time.Second, "another php-cgi", func() bool {
		return slices.ContainsFunc(s.phps(), func(p php) bool { return p.parent.pid != old.parent.pid && len(p.children) == 5 })
	})
	s.open(t, gate)
	if a, err := wait(); err != nil || a.StatusCode != 200 || a.body != "after" {
		t.Errorf("the request that ran: %v %v %q", err, a.Response, a.body)
	}
	// A signal that is caught would have cut its sleep short.
	if a, err := sleeps(); err != nil || a.StatusCode != 200 || time.Since(begun) < 3*time.Second {
		t.Errorf("the request that slept: %v %v after %v", err, a.Response, time.Since(begun))
	}
	poll(t, 30*time.Second, "the old children have ended", func() bool { return len(living(append(old.children, running))) == 0 })
}

func TestPHPPluginKilledUnderLoad(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	fronts := s.fronts(t)
	old := s.onePHP(t)
	c := newClient(t)
	gate := unique(t)
	wait := later(c, fronts[1].url("/gate.php?name="+gate))
	s.atGate(t, gate)
	l := startLoad(t, 8, urls(fronts, "/sleep.php?ms=3")...)
	l.more(t, 50)
	plugin := s.plugin(t, "plugin php")
	kill(t, plugin)
	killed := time.Now()
	poll(t, 5*time.Second, "a new plugin with its php-cgi", func() bool {
		return slices.ContainsFunc(s.phps(), func(p php) bool {
			return p.parent.ppid != plugin.pid && p.parent.pid != old.parent.pid && len(p.children) > 0
		})
	})
	t.Logf("a new php-cgi parent after %v", time.Since(killed))
	l.more(t, 200)
	s.open(t, gate)
	if a, err := wait(); err != nil || a.StatusCode != 200 || a.body != "after" {
		t.Errorf("the request that ran: %v %v %q", err, a.Response, a.body)
	}
	l.more(t, 50)
	l.end(t)
	poll(t, 10*time.Second, "the old php-cgi has ended", func() bool { return len(living(append(old.children, old.parent))) == 0 })
	if n := len(s.onePHP(t).children); n != 5 {
		t.Errorf("%d children", n)
	}
}

func TestGoPluginKilled(t *testing.T) {
	t.Parallel()
	s := start(t, goWorker(t, "index", "/"))
	url := "http://" + s.http + "/"
	c := newClient(t)
	must(t, c, 200, "GET", url, nil)
	kill(t, s.plugin(t, "bin/index"))
	killed := time.Now()
	// These come while no process serves: they wait in the queue.
	waits := make([]func() (answer, error), 20)
	for i := range waits {
		waits[i] = later(c, url+"?n="+itoa(i))
	}
	failed := 0
	for i, wait := range waits {
		if a, err := wait(); err != nil || a.StatusCode != 200 {
			if failed++; failed == 1 {
				t.Errorf("queued request %d: %v %v %.100q", i, err, a.Response, a.body)
			}
		}
	}
	if failed > 0 {
		t.Errorf("%d of %d queued requests failed", failed, len(waits))
	}
	t.Logf("back after %v", time.Since(killed))
}

// goWorker are the options of a server with the repository's Go worker.
func goWorker(t *testing.T, name, path string) options {
	t.Helper()
	program, err := os.ReadFile(indexBinary)
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, options{workers: []string{}, files: map[string]string{
		"workers/" + name + "/config/worker.yaml": "path: " + path + "\ntype: go\ngo:\n  binary: bin/index\n",
		"workers/" + name + "/bin/index":          string(program),
	}})
	if err := os.Chmod(dir+"/workers/"+name+"/bin/index", 0o755); err != nil {
		t.Fatal(err)
	}
	return options{dir: dir}
}

func TestServerKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	needPHP(t)
	o := goWorker(t, "index", "/index")
	if err := os.CopyFS(o.dir+"/workers/app", os.DirFS("testdata/workers/app")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(o.dir+"/workers/app/data", 0o777), os.Chmod(o.dir+"/workers/app/data", 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy=%t", busy), func(t *testing.T) {
			gate := unique(t)
			// The parts: a server that is killed, and one after it at the same place.
			s := start(t, options{dir: o.dir})
			s.over = true
			if busy {
				_ = later(newClient(t), "http://"+s.http+"/gate.php?name="+gate)
				s.atGate(t, gate)
			}
			family := s.family()
			if len(family) < 4 { // two plugins, php-cgi and its children
				t.Fatalf("a small family: %v", family)
			}
			s.signal(t, unix.SIGKILL)
			killed := time.Now()
			next := start(t, options{dir: o.dir, sets: []string{"http.listen=['" + s.http + "']", "fastcgi.listen=['" + s.tcp + "','unix:f.sock']"}})
			must(t, newClient(t), 200, "GET", "http://"+next.http+"/answer.php", nil)
			if next.http != s.http || next.tcp != s.tcp {
				t.Errorf("not the same addresses: %s %s, %s %s", next.http, s.http, next.tcp, s.tcp)
			}
			t.Logf("serving again %v after kill -9", time.Since(killed))
			for ; time.Since(killed) < 2*time.Second && len(living(family)) > 0; _ = becomes(10*time.Millisecond, func() bool { return false }) {
			}
			if left := living(family); len(left) > 0 {
				t.Errorf("2 s after kill -9: %v", left)
			}
			if a, err := fcgi(t, "unix", next.unix, next.scriptParams("/answer.php", "QUERY_STRING", "body=again")...); err != nil || a.body() != "again" {
				t.Errorf("unix socket: %v %.100q", err, a.stdout)
			}
		})
	}
}

func TestPHPErrorsBecomeWholeLogLines(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	s.allow("to the log", "to stderr")
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			mark := s.log.len()
			must(t, newClient(t), 200, "GET", f.url("/error.php?text=first%20line%0Asecond%1B%5D0;line"), nil)
			line := s.log.wait(t, 2*time.Second, mark, "to the log: first line")
			if line.attrs == nil || !line.has("app") {
				t.Errorf("no JSON, or without the worker's name: %s", line.raw)
			}
			s.log.wait(t, 2*time.Second, mark, "to stderr: first line")
			s.log.wait(t, 2*time.Second, mark, "to stderr: second line")
		})
	}
	long := strings.Repeat("x", 5000)
	mark := s.log.len()
	must(t, newClient(t), 200, "GET", "http://"+s.http+"/error.php?text="+long, nil)
	s.log.wait(t, 2*time.Second, mark, long)
	for _, line := range s.log.all() {
		if line.attrs == nil {
			t.Errorf("a line is no JSON: %.300q", line.raw)
		}
	}
}
