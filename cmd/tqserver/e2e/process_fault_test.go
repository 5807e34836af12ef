package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what a process has used of a processor.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int
	for _, text := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// At the limit of open files accepting pauses, and says so without filling the log;
// who is connected is served, and all is well when there are descriptors again.
func TestOutOfFileDescriptors(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{wrap: []string{"sh", "-c", `ulimit -n 64; exec "$0" "$@"`}})
	s.allow("cannot be accepted")
	kept := dial(t, "tcp", s.http)
	ask := func() {
		t.Helper()
		if a, err := exchange(kept, "GET /answer.php?body=kept HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil || a.body != "kept" {
			t.Fatalf("%v %v", err, a.Response)
		}
	}
	ask()
	var crowd []net.Conn
	for range 200 {
		c, err := net.DialTimeout("tcp", s.http, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, c)
	}
	s.log.wait(t, 10*time.Second, 0, "cannot be accepted")
	before, begun := cpuTime(t, s.pid), time.Now()
	if _, stderr, code := s.command(t, "status"); code != 0 {
		t.Errorf("status: %s", stderr)
	}
	for range 20 {
		ask()
		_ = becomes(100*time.Millisecond, func() bool { return false })
	}
	if used, of := cpuTime(t, s.pid)-before, time.Since(begun); used > of/5 && !raced() {
		t.Errorf("%v of a processor within %v", used, of)
	}
	var lines int
	for _, line := range s.log.all() {
		if line.has("cannot be accepted") {
			lines++
		}
	}
	if lines > 5 {
		t.Errorf("%d lines about it in the log", lines)
	}
	for _, c := range crowd {
		_ = c.Close()
	}
	poll(t, 10*time.Second, "new connections are served again", func() bool {
		a, err := do(newClient(t), "GET", "http://"+s.http+"/answer.php?body=new", nil)
		return err == nil && a.body == "new"
	})
	_ = kept.Close()
}

// A server that was stopped goes on as if nothing had been, but that its waits go
// on: what queue.wait or request_timeout bounds must be longer than the stop.
func TestServerStoppedForAWhile(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{
		appYAML: "path: /\ntype: php\ndocument_root: public\nphp: {pool: {max_workers: 4, queue: {wait: 30s}, request_timeout: 40s}}\n",
	}})
	fronts := s.fronts(t)
	family := s.family()
	l := startLoad(t, 6, urls(fronts, "/sleep.php?ms=20")...)
	gate := unique(t)
	wait := later(newClient(t), "http://"+s.http+"/gate.php?name="+gate)
	s.atGate(t, gate)
	l.more(t, 20)
	from := s.log.len()
	s.signal(t, unix.SIGSTOP)
	_ = becomes(10*time.Second, func() bool { return false })
	s.signal(t, unix.SIGCONT)
	l.more(t, 50)
	s.open(t, gate)
	if a, err := wait(); err != nil || a.StatusCode != 200 {
		t.Errorf("%v %v", err, a.Response)
	}
	l.end(t)
	if now := living(family); len(now) != len(family) {
		t.Errorf("processes %v were replaced, now %v", family, now)
	}
	for _, line := range s.log.all()[from:] {
		if line.level == "WARN" || line.level == "ERROR" {
			t.Errorf("in the log: %s", line.raw)
		}
	}
}

// What was sent to a stopped server on an open connection is served when it goes on,
// though the time it gives a client to send it has passed.
func TestRequestsSentToAStoppedServer(t *testing.T) {
	t.Parallel()
	needPHP(t)
	const limit = 4 * time.Second
	s := start(t, options{sets: []string{
		"http.read_header_timeout=" + limit.String(), "http.idle_timeout=" + limit.String(), "fastcgi.idle_timeout=" + limit.String(),
	}})
	ask := map[string]func(net.Conn) error{
		s.http: func(c net.Conn) error {
			a, err := exchange(c, "GET /answer.php?body=x HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if err == nil && a.StatusCode != 200 {
				err = errors.New(a.Status)
			}
			return err
		},
		s.tcp: func(c net.Conn) error {
			if _, err := c.Write(request(1, true, nil, s.scriptParams("/answer.php", "QUERY_STRING", "body=x")...)); err != nil {
				return err
			}
			a, err := readAnswer(c)
			if err == nil && a.status() != 200 {
				err = errors.New(a.stdout)
			}
			return err
		},
	}
	var stopped, done sync.WaitGroup
	stopped.Add(1)
	for address, ask := range ask {
		for i := range 50 { // of which the deadlines of some are seen before their bytes
			c := dial(t, "tcp", address)
			if i%2 > 0 { // it is a kept one
				if err := ask(c); err != nil {
					t.Fatal(err)
				}
			}
			done.Go(func() {
				stopped.Wait()
				if err := ask(c); err != nil {
					t.Errorf("%s, connection %d: %v", address, i, err)
				}
			})
		}
	}
	s.signal(t, unix.SIGSTOP)
	stopped.Done()
	_ = becomes(limit+limit/4, func() bool { return false })
	s.signal(t, unix.SIGCONT)
	done.Wait()
}

func TestSocketsThatCannotBe(t *testing.T) {
	t.Parallel()
	needPHP(t)
	t.Run("too long", func(t *testing.T) {
		dir := folder(t, options{})
		_, stderr, code := run(t, dir, "serve", "--config", "config/tqserver.yaml", "--set", "fastcgi.listen=['unix:"+strings.Repeat("x", 120)+"']")
		if code != 1 || !hasAll(stderr, []string{"fastcgi.listen[0]", "120", "107"}) {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	})
	t.Run("in a folder that is made", func(t *testing.T) {
		s := start(t, options{sets: []string{"fastcgi.listen=['unix:new/folder/f.sock', '127.0.0.1:0']"}})
		if mode := mustMode(t, s.path("new/folder/f.sock")); mode != 0o660 {
			t.Errorf("mode %o", mode)
		}
	})
	t.Run("where the server may not write", func(t *testing.T) {
		nobody, err := user.Lookup("nobody")
		if os.Geteuid() != 0 || err != nil {
			t.Skip("needs root and the user nobody")
		}
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		dir := folder(t, options{})
		for _, name := range []string{"", "run"} {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(filepath.Join(dir, "run"), uid, gid); err != nil {
			t.Fatal(err)
		}
		s := launch(t, options{dir: dir, user: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}})
		if code := s.wait(t, 20*time.Second); code != 1 || !hasAll(s.log.String(), []string{"f.sock", "permission denied"}) {
			t.Errorf("exit code %d: %s", code, s.log)
		}
	})
}

// A machine that was suspended, or a server that was stopped: time has passed for
// its deadlines, and nobody is taken for dead for that.
func TestServerThatWasSuspendedGoesOn(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	c := newClient(t)
	old, plugin := s.onePHP(t), s.plugin(t, "plugin php")
	gate := unique(t)
	wait := later(c, "http://"+s.http+"/gate.php?name="+gate)
	s.atGate(t, gate)
	mark := s.log.len()
	s.signal(t, unix.SIGSTOP)
	queued := later(newClient(t), "http://"+s.http+"/answer.php")
	_ = becomes(7*time.Second, func() bool { return false }) // two health checks of plugins, and idle connections of php-cgi
	s.signal(t, unix.SIGCONT)
	s.open(t, gate)
	for _, wait := range []func() (answer, error){wait, queued} {
		if a, err := wait(); err != nil || a.StatusCode != 200 {
			t.Errorf("%v %v", err, a.Response)
		}
	}
	for range 50 {
		must(t, c, 200, "GET", "http://"+s.http+"/answer.php", nil)
	}
	if now := s.onePHP(t); now.parent.pid != old.parent.pid || s.plugin(t, "plugin php").pid != plugin.pid {
		t.Error("php-cgi or its plugin was replaced")
	}
	if line, ok := s.log.find(mark, `"level":"WARN"`); ok {
		t.Errorf("logged: %s", line.raw)
	}
}
