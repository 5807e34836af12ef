package e2e

import (
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSIGTERMLetsRunningRequestsFinish(t *testing.T) {
	t.Parallel()
	needPHP(t)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			s := start(t, options{})
			s.over = true
			c := newClient(t)
			fronts := s.fronts(t)
			var gates []string
			var waits []func() (answer, error)
			for _, f := range fronts[:4] {
				gate := unique(t) + f.name[len(f.name)-3:]
				gate = strings.ReplaceAll(gate, "-", "_")
				waits = append(waits, later(c, f.url("/gate.php?name="+gate)))
				s.atGate(t, gate)
				gates = append(gates, gate)
			}
			// The fifth waits in the queue: it is a running request, too.
			queued := later(c, fronts[0].url("/answer.php?body=queued"))
			idle := dial(t, "tcp", s.http)
			family := s.family()
			_ = becomes(50*time.Millisecond, func() bool { return false }) // the fifth is in the queue by then
			s.signal(t, sig)
			for network, at := range map[string]string{"http": s.http, "tcp": s.tcp, "unix": s.unix} {
				dialled := "tcp"
				if network == "unix" {
					dialled = "unix"
				}
				poll(t, 5*time.Second, network+" refuses new connections", func() bool {
					c, err := net.DialTimeout(dialled, at, time.Second)
					if err == nil {
						_ = c.Close()
					}
					return err != nil
				})
			}
			select {
			case <-s.exited:
				t.Fatal("it ended with requests running")
			default:
			}
			for _, gate := range gates {
				s.open(t, gate)
			}
			for i, wait := range waits {
				if a, err := wait(); err != nil || a.StatusCode != 200 || a.body != "after" {
					t.Errorf("request %d: %v %v %q", i, err, a.Response, a.body)
				}
			}
			if a, err := queued(); err != nil || a.StatusCode != 200 || a.body != "queued" {
				t.Errorf("queued request: %v %v %q", err, a.Response, a.body)
			}
			finished := time.Now()
			if code := s.wait(t, 30*time.Second); code != 0 {
				t.Errorf("exit code %d", code)
			}
			// A connection on which nothing was asked is nothing to wait for.
			if took := time.Since(finished); took > 8*time.Second {
				t.Errorf("it ended %v after the last request", took)
			}
			_ = idle.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := idle.Read(make([]byte, 1)); err == nil {
				t.Error("an idle connection got an answer")
			}
			s.gone(t, family)
			if _, ok := s.log.find(0, `"msg":"stopped"`); !ok {
				t.Error("the log does not say that it stopped")
			}
		})
	}
}

func TestSecondSignalEndsThePatience(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	s.over = true
	s.allow("gate.php", "cut off")
	gate := unique(t)
	wait := later(newClient(t), "http://"+s.http+"/gate.php?name="+gate)
	s.atGate(t, gate)
	family := s.family()
	s.signal(t, unix.SIGTERM)
	s.log.wait(t, 5*time.Second, 0, "stopping")
	s.signal(t, unix.SIGTERM)
	begun := time.Now()
	code := s.wait(t, 30*time.Second)
	t.Logf("exit code %d after %v", code, time.Since(begun))
	if code <= 0 {
		t.Errorf("exit code %d, want another than 0", code)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if a, err := wait(); err == nil && a.StatusCode == 200 {
		t.Error("a request that was cut off looks complete")
	}
	s.gone(t, family)
}

func TestDrainTimeoutCutsRequestsOff(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{sets: []string{"server.drain_timeout=300ms"}})
	s.over = true
	s.allow("gate.php", "cut off")
	gate := unique(t)
	wait := later(newClient(t), "http://"+s.http+"/gate.php?name="+gate)
	s.atGate(t, gate)
	family := s.family()
	s.signal(t, unix.SIGTERM)
	begun := time.Now()
	code := s.wait(t, 20*time.Second)
	t.Logf("exit code %d after %v", code, time.Since(begun))
	if code <= 0 {
		t.Errorf("exit code %d, want another than 0", code)
	}
	if took := time.Since(begun); took > 19*time.Second {
		t.Errorf("it took %v", took)
	}
	_, _ = wait()
	s.gone(t, family)
}

func TestUnixSocketOfAnotherRun(t *testing.T) {
	t.Parallel()
	needPHP(t)
	t.Run("stale is replaced", func(t *testing.T) {
		dir := folder(t, options{})
		l, err := net.Listen("unix", filepath.Join(dir, "f.sock"))
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		_ = l.Close()
		s := start(t, options{dir: dir})
		if a, err := fcgi(t, "unix", s.unix, s.scriptParams("/answer.php", "QUERY_STRING", "body=new")...); err != nil || a.body() != "new" {
			t.Errorf("%v %.100q", err, a.stdout)
		}
		mode := mustMode(t, s.unix)
		if mode != 0o660 {
			t.Errorf("socket's mode is %o, want 660", mode)
		}
	})
	t.Run("live is an error that says so", func(t *testing.T) {
		s := start(t, options{})
		second := launch(t, options{dir: s.dir, sets: []string{"server.runtime_folder=run2"}})
		if code := second.wait(t, 20*time.Second); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		if text := second.log.String(); !strings.Contains(text, "f.sock") || !strings.Contains(text, "use") {
			t.Errorf("the error does not say that f.sock is in use: %s", text)
		}
		if a, err := fcgi(t, "unix", s.unix, s.scriptParams("/answer.php", "QUERY_STRING", "body=first")...); err != nil || a.body() != "first" {
			t.Errorf("the first server lost its socket: %v %.100q", err, a.stdout)
		}
	})
	t.Run("a file that is no socket stays", func(t *testing.T) {
		dir := folder(t, options{files: map[string]string{"f.sock": "precious"}})
		s := launch(t, options{dir: dir})
		if code := s.wait(t, 20*time.Second); code != 1 || !exists(s.path("f.sock")) {
			t.Errorf("exit code %d, the file is there: %t: %s", code, exists(s.path("f.sock")), s.log)
		}
	})
	t.Run("a port in use is an error that says so", func(t *testing.T) {
		s := start(t, options{})
		second := launch(t, options{dir: folder(t, options{}), sets: []string{"http.listen=['" + s.http + "']"}})
		if code := second.wait(t, 20*time.Second); code != 1 || !strings.Contains(second.log.String(), s.http) {
			t.Errorf("exit code %d: %s", code, second.log)
		}
	})
}

func TestUnixSocketIsForTheWebServersGroup(t *testing.T) {
	t.Parallel()
	needPHP(t)
	group, err := user.LookupGroup("www-data")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("needs root and the group www-data")
	}
	s := start(t, options{sets: []string{"fastcgi.socket_group=www-data", "fastcgi.socket_mode='0620'"}})
	info, err := os.Stat(s.unix)
	if err != nil {
		t.Fatal(err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || itoa(int(stat.Gid)) != group.Gid || info.Mode().Perm() != 0o620 {
		t.Errorf("%v, group %v, want www-data and 620", info.Mode(), stat.Gid)
	}
	if a, err := fcgi(t, "unix", s.unix, s.scriptParams("/answer.php", "QUERY_STRING", "body=group")...); err != nil || a.body() != "group" {
		t.Errorf("%v %.100q", err, a.stdout)
	}
}
