package pluginhost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/plugins/faulty"
)

func TestServeAndStop(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	p, pool := start(t, h, spec(t, faulty.Settings{}))
	s := pool.wait(t, 0)
	pid := serverPID(t, s)
	if pid == os.Getpid() {
		t.Fatal("served by the host itself")
	}
	if answer, err := request(s.Endpoints[0], "/panic"); err != nil || !strings.HasPrefix(answer, "Status: 500") {
		t.Errorf("panic: %q, %v", answer, err)
	}
	if answer, err := request(s.Endpoints[0], "/half"); err == nil {
		t.Errorf("half an answer passed for whole: %q", answer)
	}
	if _, err := request(s.Endpoints[0], "/print"); err != nil {
		t.Error(err)
	}
	if again := serverPID(t, s); again != pid {
		t.Errorf("a panic ended the plugin: pid %d, was %d", again, pid)
	}
	for _, want := range [][]string{
		{"level=ERROR", "panic in the worker", "worker=demo", "plugin=faulty", "as asked", "stack="},
		{"level=INFO", "printed to stdout", "worker=demo"},
		{"level=WARN", "printed to stderr", "worker=demo"},
		{"level=INFO", "faulty runs", "worker_of_plugin=demo", "flood=0"},
	} {
		eventually(t, strings.Join(want, " "), func() bool { return h.log.has(want...) })
	}
	stop(t, p)
	stop(t, p)
	if alive(pid) {
		t.Error("the plugin is still alive")
	}
	if left, _ := filepath.Glob(h.Folder() + "/*"); len(left) != 1 {
		t.Errorf("left in the runtime folder: %v", left)
	}
}

// A service manager sends SIGTERM to all processes while the host drains (G4).
func TestSignalsAreForTheHost(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	p, pool := start(t, h, spec(t, faulty.Settings{}))
	pid := pluginPID(t, h, 0)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		kill(t, pid, sig)
		eventually(t, sig.String(), func() bool { return h.log.has("signal ignored", sig.String()) })
	}
	if now := serverPID(t, pool.wait(t, 0)); now != pid {
		t.Errorf("served by %d, was %d", now, pid)
	}
	stop(t, p)
}

func TestStopFinishesWhatRuns(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	p, pool := start(t, h, spec(t, faulty.Settings{}))
	e := pool.wait(t, 0).Endpoints[0]
	answered := make(chan error, 1)
	go func() {
		_, err := request(e, "/slow")
		answered <- err
	}()
	eventually(t, "the request", func() bool { return h.log.has("slow request") })
	stop(t, p)
	if err := <-answered; err != nil {
		t.Errorf("a request that ran was cut off: %v", err)
	}
}

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings faulty.Settings
		path     string // requested before
		signal   syscall.Signal
	}{
		"hangs in Stop":           {settings: faulty.Settings{Stop: "hang"}},
		"hangs, with grandchild":  {settings: faulty.Settings{Stop: "hang", Leak: true}},
		"hangs, with child":       {settings: faulty.Settings{Stop: "hang", Child: true}},
		"is stopped":              {signal: syscall.SIGSTOP},
		"is stopped, with child":  {settings: faulty.Settings{Child: true}, signal: syscall.SIGSTOP},
		"has an endless request":  {path: "/wait"},
		"child: endless request":  {settings: faulty.Settings{Child: true}, path: "/wait"},
		"was killed just before":  {signal: syscall.SIGKILL},
		"killed, its child lives": {settings: faulty.Settings{Child: true}, signal: syscall.SIGKILL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestHost(t, func(timing *timing) { timing.end = 300 * time.Millisecond })
			p, pool := start(t, h, spec(t, c.settings))
			e := pool.wait(t, 0).Endpoints[0]
			var asked sync.WaitGroup
			if c.path != "" {
				asked.Go(func() { _, _ = request(e, c.path) })
				eventually(t, "the request", func() bool { return h.log.has("endless request") })
			}
			pid := pluginPID(t, h, 0)
			if c.signal != 0 {
				kill(t, pid, c.signal)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := p.Stop(ctx)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("Stop took %v", took)
			}
			if c.signal != syscall.SIGKILL && c.path == "" && !errors.Is(err, ErrKilled) {
				t.Errorf("Stop: %v, want ErrKilled", err)
			}
			asked.Wait()
			if alive(pid) {
				t.Error("the plugin is still alive")
			}
			eventually(t, "nothing left", func() bool { return len(mine(h.Folder())) == 0 })
		})
	}
}

// mine are the processes that have a file below the folder open or in their
// command line; the guardian aside.
func mine(folder string) []string {
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*/fd")
	for _, dir := range dirs {
		fds, _ := filepath.Glob(dir + "/*")
		for _, fd := range fds {
			target, err := os.Readlink(fd)
			if err == nil && strings.HasPrefix(target, folder) && !strings.Contains(dir, "/proc/"+pidText+"/") {
				found = append(found, fd+" "+target)
			}
		}
	}
	return found
}

func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	for _, s := range []api.PluginSpec{spec(t, faulty.Settings{Run: "unready"}), spec(t, faulty.Settings{}, "hang"), spec(t, faulty.Settings{Run: "freeze"})} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		began := time.Now()
		_, err := h.Start(ctx, s, api.PluginEvents{})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Start: %v", err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("Start took %v", took)
		}
	}
}

func TestReap(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	pools := []*pool{}
	for _, s := range []faulty.Settings{{}, {Child: true}, {Stop: "hang"}, {Leak: true}} {
		_, p := start(t, h, spec(t, s))
		pools = append(pools, p)
	}
	began := time.Now()
	h.Reap()
	h.Reap()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("Reap took %v", took)
	}
	for _, p := range pools {
		if _, err := request(p.wait(t, 0).Endpoints[0], "/"); err == nil {
			t.Error("an endpoint still answers")
		}
	}
	if _, err := h.Start(t.Context(), spec(t, faulty.Settings{}), api.PluginEvents{}); err == nil {
		t.Error("Start after Reap succeeded")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	problems, err := h.Check(t.Context(), spec(t, faulty.Settings{Problem: "is not right"}))
	if err != nil || len(problems) != 1 || problems[0].Message != "is not right" || problems[0].Path != "problem" {
		t.Errorf("%v, %v", problems, err)
	}
	if problems, err := h.Check(t.Context(), spec(t, faulty.Settings{})); err != nil || len(problems) != 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if _, err := h.Check(t.Context(), spec(t, faulty.Settings{}, "crash")); err == nil {
		t.Error("a plugin that crashes can be checked")
	}
}

// G5: what the host knows is not for the plugins.
func TestNothingIsInherited(t *testing.T) {
	t.Setenv("TQ_SECRET", "the-secret")
	h := newTestHost(t)
	for _, s := range []faulty.Settings{{}, {Child: true}} {
		p, pool := start(t, h, spec(t, s))
		e := pool.wait(t, 0).Endpoints[0]
		environment, err := request(e, "/env")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"TQ_SECRET", "TQSERVER_LIFELINE", "TQSERVER_PLUGIN", "PLUGIN_CLIENT_CERT"} {
			if strings.Contains(environment, name) {
				t.Errorf("%+v has %s: %s", s, name, environment)
			}
		}
		fds, err := request(e, "/fds")
		if err != nil {
			t.Fatal(err)
		}
		if !s.Child && !strings.Contains(fds, "\n0 /dev/null\n") {
			t.Errorf("stdin is not /dev/null: %s", fds)
		}
		for line := range strings.Lines(fds) {
			if s.Child && strings.Contains(line, "pipe:") && !strings.HasPrefix(line, "2 ") {
				t.Errorf("the child has a pipe of its plugin: %s", fds)
			}
		}
		if strings.Contains(fds, lockName) {
			t.Errorf("the lock was inherited: %s", fds)
		}
		stop(t, p)
	}
}
