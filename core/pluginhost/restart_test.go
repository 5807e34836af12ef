package pluginhost

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/plugins/faulty"
	"github.com/mevdschee/tqserver/sdk/process"
)

// A worker in the plugin's own process is gone with it: Down, then Ready.
func TestRestartOfAGoWorker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings faulty.Settings
		signal   syscall.Signal // 0: it exits in the midst of a request
	}{
		"SIGKILL":                              {signal: syscall.SIGKILL},
		"SIGSTOP":                              {signal: syscall.SIGSTOP},
		"exit in mid-request":                  {},
		"SIGKILL, grandchild holds fd 1 and 2": {settings: faulty.Settings{Leak: true}, signal: syscall.SIGKILL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestHost(t, func(timing *timing) { timing.ping = 300 * time.Millisecond })
			p, pool := start(t, h, spec(t, c.settings))
			first := pool.wait(t, 0)
			pid := serverPID(t, first)
			began := time.Now()
			if c.signal != 0 {
				kill(t, pid, c.signal)
			} else if answer, err := request(first.Endpoints[0], "/exit"); err == nil {
				t.Errorf("passed for whole: %q", answer)
			}
			eventually(t, "Down", func() bool { return len(pool.down()) > 0 })
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("noticed after %v", took)
			}
			second := pool.wait(t, 1)
			if now := serverPID(t, second); now == pid {
				t.Error("served by the dead one")
			}
			if alive(pid) {
				t.Error("the old one is alive")
			}
			first.Release()
			first.Release()
			eventually(t, "the old folder gone", func() bool {
				_, err := os.Stat(first.Endpoints[0].Address)
				return os.IsNotExist(err)
			})
			stop(t, p)
		})
	}
}

// Processes in groups of their own serve on without their plugin until the
// next one is ready and the pool has let go of them.
func TestChildrenOutliveTheirPlugin(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"SIGKILL": syscall.SIGKILL, "SIGSTOP": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestHost(t, func(timing *timing) { timing.ping, timing.backoff = 200*time.Millisecond, 500*time.Millisecond })
			p, pool := start(t, h, spec(t, faulty.Settings{Child: true}))
			first := pool.wait(t, 0)
			child := serverPID(t, first)
			kill(t, pluginPID(t, h, 0), sig)
			for _, ready := pool.set(1); !ready; _, ready = pool.set(1) {
				if now := serverPID(t, first); now != child {
					t.Fatalf("served by %d, was %d", now, child)
				}
			}
			second := pool.wait(t, 1)
			if now := serverPID(t, second); now == child {
				t.Error("the new set is served by the old child")
			}
			if serverPID(t, first) != child {
				t.Error("the old set was ended before it was released")
			}
			first.Release()
			eventually(t, "end of the old child", func() bool { return !alive(child) })
			eventually(t, "end of its socket", func() bool {
				_, err := os.Stat(first.Endpoints[0].Address)
				return os.IsNotExist(err)
			})
			serverPID(t, second)
			if downs := pool.down(); len(downs) > 0 {
				t.Errorf("down: %v", downs)
			}
			stop(t, p)
			if alive(second.Endpoints[0].ProcessGroups[0]) {
				t.Error("the new child is alive after Stop")
			}
		})
	}
}

// What a plugin has stopped goes on when the plugin has gone, before another is ready.
func TestStoppedChildrenGoOnWithoutTheirPlugin(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, func(timing *timing) { timing.backoff = time.Hour })
	p, pool := start(t, h, spec(t, faulty.Settings{Child: true}))
	child := serverPID(t, pool.wait(t, 0))
	kill(t, child, syscall.SIGSTOP)
	kill(t, pluginPID(t, h, 0), syscall.SIGKILL)
	eventually(t, "the child goes on", func() bool { return procState(child) == "S" })
	stop(t, p)
}

func TestOrphansThatDie(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, func(timing *timing) { timing.backoff = time.Second })
	p, pool := start(t, h, spec(t, faulty.Settings{Child: true}))
	child := serverPID(t, pool.wait(t, 0))
	kill(t, pluginPID(t, h, 0), syscall.SIGKILL)
	eventually(t, "orphans", func() bool { return h.log.has("go on without their plugin") })
	kill(t, child, syscall.SIGKILL)
	eventually(t, "Down", func() bool { return len(pool.down()) > 0 })
	serverPID(t, pool.wait(t, 1))
	stop(t, p)
}

// The plugin lives, its child dies: it gives up, and is replaced.
func TestChildOfALivingPluginDies(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	p, pool := start(t, h, spec(t, faulty.Settings{Child: true}))
	kill(t, serverPID(t, pool.wait(t, 0)), syscall.SIGKILL)
	serverPID(t, pool.wait(t, 1))
	if len(pool.down()) == 0 {
		t.Error("no Down")
	}
	stop(t, p)
}

// What the plugin started without telling is found while it lives.
func TestHiddenChildren(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"SIGKILL": syscall.SIGKILL, "SIGSTOP": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestHost(t, func(timing *timing) { timing.ping = 200 * time.Millisecond })
			p, pool := start(t, h, spec(t, faulty.Settings{Hidden: true}))
			pid := serverPID(t, pool.wait(t, 0))
			hidden := process.ChildGroups(pid)
			if len(hidden) != 1 {
				t.Fatalf("children: %v", hidden)
			}
			kill(t, pid, sig)
			pool.wait(t, 1)
			eventually(t, "end of the hidden child", func() bool { return !alive(hidden[0]) })
			stop(t, p)
		})
	}
}

// G14: restarts leak neither descriptors nor goroutines.
func TestRestartsLeakNothing(t *testing.T) {
	h := newTestHost(t, func(timing *timing) { timing.backoff, timing.backoffMost = time.Millisecond, time.Millisecond })
	p, pool := start(t, h, spec(t, faulty.Settings{Child: true}))
	restart := func(n int) {
		old := pool.wait(t, n)
		kill(t, pluginPID(t, h, 0), syscall.SIGKILL)
		pool.wait(t, n+1)
		old.Release()
		eventually(t, "end of the old child", func() bool { return !alive(old.Endpoints[0].ProcessGroups[0]) })
	}
	count := func() (int, int) {
		fds, _ := os.ReadDir("/proc/self/fd")
		return len(fds), runtime.NumGoroutine()
	}
	const rounds = 8
	restart(0)
	fds, goroutines := count()
	for n := range rounds {
		restart(n + 1)
	}
	eventually(t, "as few descriptors and goroutines as before", func() bool {
		f, g := count()
		return f <= fds+2 && g <= goroutines+2
	})
	stop(t, p)
}

func TestStopDuringBackOff(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, func(timing *timing) { timing.backoff, timing.backoffMost = time.Hour, time.Hour })
	p, pool := start(t, h, spec(t, faulty.Settings{Child: true}))
	child := serverPID(t, pool.wait(t, 0))
	kill(t, pluginPID(t, h, 0), syscall.SIGKILL)
	eventually(t, "back-off", func() bool { return h.log.has("starting another") })
	stop(t, p)
	if alive(child) {
		t.Error("the orphaned child is alive after Stop")
	}
}

// A plugin must not make the host kill strangers.
func TestForeignGroupIsRefused(t *testing.T) {
	t.Parallel()
	stranger := exec.Command("/bin/sleep", "60")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	}()
	h := newTestHost(t)
	for _, group := range []int{stranger.Process.Pid, syscall.Getpgrp(), 1, -1} {
		p, _ := start(t, h, spec(t, faulty.Settings{Foreign: group}))
		kill(t, pluginPID(t, h, 0), syscall.SIGKILL)
		stop(t, p)
	}
	if !alive(stranger.Process.Pid) {
		t.Error("the stranger was killed")
	}
	if !h.log.has("did not start") {
		t.Error("not logged")
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := newBackoff(defaultTiming())
	for _, ms := range []int{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000} {
		want := time.Duration(ms) * time.Millisecond
		if got := b.next(time.Second); got > want || got < want*3/4 {
			t.Errorf("pause %v, want up to %v", got, want)
		}
	}
	if got := b.next(2 * time.Minute); got > 100*time.Millisecond {
		t.Errorf("pause %v after a healthy run", got)
	}
}
