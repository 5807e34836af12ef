package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// notified is a service manager: it hears what the server says.
type notified struct {
	path string
	mu   sync.Mutex
	said []string
}

func newNotified(t *testing.T) *notified {
	t.Helper()
	dir, err := os.MkdirTemp("", "tqn") //nolint:usetesting // a unix socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	n := &notified{path: filepath.Join(dir, "notify")}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: n.path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = os.RemoveAll(dir)
	})
	go func() {
		b := make([]byte, 4096)
		for {
			size, err := c.Read(b)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.said = append(n.said, string(b[:size]))
			n.mu.Unlock()
		}
	}()
	return n
}

// heard returns the first message from a mark on that matches, and the mark
// behind it.
func (n *notified) heard(t *testing.T, from int, pattern string) (string, int) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var message string
	var next int
	poll(t, 20*time.Second, "the service manager hears "+pattern, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		for i := from; i < len(n.said); i++ {
			if re.MatchString(n.said[i]) {
				message, next = n.said[i], i+1
				return true
			}
		}
		return false
	})
	return message, next
}

func (n *notified) len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.said)
}

func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	needPHP(t)
	n := newNotified(t)
	s := start(t, options{env: []string{"NOTIFY_SOCKET=" + n.path, "WATCHDOG_USEC=1000000"}})
	_, at := n.heard(t, 0, `(?m)^READY=1$`)
	_, at = n.heard(t, at, `^WATCHDOG=1$`)
	must(t, newClient(t), 200, "GET", "http://"+s.http+"/answer.php", nil)
	_, at = n.heard(t, at, `^STATUS=serving 1 workers; requests: 0 running, 0 waiting, 1 answered$`)
	_, at = n.heard(t, at, `^WATCHDOG=1$`)
	s.hangup(t)
	_, at = n.heard(t, at, `^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+\n`)
	_, at = n.heard(t, at, `(?m)^READY=1$`)
	// A reload that fails is over as well.
	s.allow("reload failed")
	write(t, s.path("config/tqserver.yaml"), "http: [\n")
	s.hangup(t)
	_, at = n.heard(t, at, `^RELOADING=1`)
	n.heard(t, at, `(?m)^READY=1$`)
	// Its own variables reach no script.
	if env := decode[seen](t, must(t, newClient(t), 200, "GET", "http://"+s.http+"/srv.php", nil).body).Env; env["NOTIFY_SOCKET"] != "" || env["WATCHDOG_USEC"] != "" {
		t.Errorf("%v", env)
	}
	// A server that does not answer is not said to be alive: its one process that
	// has to be asked is stopped.
	s.over = true
	family := s.family()
	s.signal(t, unix.SIGSTOP)
	mark := n.len()
	if becomes(1500*time.Millisecond, func() bool { return n.len() > mark+1 }) {
		t.Error("a stopped server says that it is alive")
	}
	s.signal(t, unix.SIGCONT)
	_, at = n.heard(t, mark, `^WATCHDOG=1$`)
	s.signal(t, unix.SIGTERM)
	n.heard(t, at, `(?m)^STOPPING=1$`)
	if code := s.wait(t, 20*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.gone(t, family)
}

// freePort is a port that nobody has now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestSocketActivation(t *testing.T) {
	t.Parallel()
	needPHP(t)
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		skip(t, "systemd-socket-activate is not installed")
	}
	dir := folder(t, options{})
	tcp, path := freePort(t), filepath.Join(dir, "a.sock")
	s := launch(t, options{
		dir: dir, wrap: []string{activate, "-l", tcp, "-l", path, "--fdname=web:own"},
		sets: []string{"fastcgi.listen=['" + tcp + "', 'unix:" + path + "']"},
	})
	t.Cleanup(func() {
		_ = os.Remove(path) // whoever passes it owns it
		s.finish(t)
	})
	poll(t, 10*time.Second, "systemd-socket-activate listens", func() bool { return exists(path) })
	s.over = true
	params := s.scriptParams("/answer.php", "QUERY_STRING", "body=activated")
	for network, address := range map[string]string{"tcp": tcp, "unix": path} {
		if a, err := fcgi(t, network, address, params...); err != nil || a.body() != "activated" {
			t.Errorf("%s: %v %.100q", network, err, a.stdout)
		}
	}
	if env := decode[seen](t, must(t, newClient(t), 200, "GET", "http://"+s.log.wait(t, startWait, 0, "serving HTTP").text("address")+"/srv.php", nil).body).Env; env["LISTEN_FDS"] != "" {
		t.Errorf("%v", env)
	}
	family := s.family()
	s.signal(t, unix.SIGTERM)
	if code := s.wait(t, 20*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !exists(path) {
		t.Error("the server removed a socket that is not its own")
	}
	s.gone(t, family)
}

// What connects while the server is restarted waits for the next one, under load.
func TestRestartKeepsQueuedConnections(t *testing.T) {
	t.Parallel()
	needPHP(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	defer file.Close()
	dir := folder(t, options{})
	launched := func() *server {
		return start(t, options{
			dir: dir, env: []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=web"}, passed: []*os.File{file},
			wrap: []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, sets: []string{"http.listen=['" + address + "']"},
		})
	}
	s := launched()
	load := &load{stop: make(chan struct{})}
	for range 4 {
		load.clients.Go(func() {
			c := newClient(t)
			for {
				select {
				case <-load.stop:
					return
				default:
				}
				// A connection each: what can be lost is one that is not accepted.
				if a, err := do(c, "GET", "http://"+address+"/sleep.php?ms=3", nil, "Connection", "close"); err != nil || a.StatusCode != 200 {
					load.failed.Add(1)
					load.first.CompareAndSwap(nil, a.body+" "+errText(err))
				}
				load.served.Add(1)
			}
		})
	}
	for range 2 {
		load.more(t, 20)
		s.over = true
		s.signal(t, unix.SIGTERM)
		if code := s.wait(t, 20*time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
		s = launched()
		load.more(t, 20)
	}
	load.end(t)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// systemd with KillMode=control-group, or a careless kill, sends SIGTERM to the
// whole tree: plugins and php-cgi live until the server has drained.
func TestSIGTERMToTheWholeTreeLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	s.over = true
	gate := unique(t)
	wait := later(newClient(t), "http://"+s.http+"/gate.php?name="+gate)
	s.atGate(t, gate)
	family := s.family()
	s.signal(t, unix.SIGTERM)
	for _, p := range family {
		_ = unix.Kill(p.pid, unix.SIGTERM)
	}
	s.log.wait(t, 5*time.Second, 0, "stopping")
	plugin := s.plugin(t, "plugin php")
	s.open(t, gate)
	if a, err := wait(); err != nil || a.StatusCode != 200 || a.body != "after" {
		t.Errorf("%v %v %q", err, a.Response, a.body)
	}
	if code := s.wait(t, 20*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.gone(t, append(family, plugin))
}

func TestUnitFilesAreValid(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		skip(t, "systemd-analyze is not installed")
	}
	dir := t.TempDir()
	var names []string
	for _, name := range []string{"tqserver.service", "tqserver.socket"} {
		text, err := os.ReadFile(filepath.Join(repository, "config/examples/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.Join(dir, name))
		write(t, names[len(names)-1], strings.ReplaceAll(string(text), "/usr/local/bin/tqserver", serverBinary))
		if name == "tqserver.service" && !strings.Contains(string(text), "\nKillMode=mixed\n") {
			t.Error("KillMode is not mixed")
		}
	}
	if out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, names...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}
