package pluginhost

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/plugins/faulty"
)

// A worker in the plugin's own process is gone with it: Down, then Ready.
func TestRestartOfAGoWorker(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(t *testing.T, h *testHost, p *pool){
		"SIGKILL": func(t *testing.T, h *testHost, _ *pool) { kill(t, pluginPID(t, h, 0), syscall.SIGKILL) },
		"SIGSTOP": func(t *testing.T, h *testHost, _ *pool) { kill(t, pluginPID(t, h, 0), syscall.SIGSTOP) },
		"exit in mid-request": func(t *testing.T, _ *testHost, p *pool) {
			if answer, err := request(p.wait(t, 0).Endpoints[0], "/exit"); err == nil {
				t.Errorf("passed for whole: %q", answer)
			}
		},
		"SIGKILL, grandchild holds fd 1 and 2": func(t *testing.T, h *testHost, _ *pool) {
			kill(t, pluginPID(t, h, 0), syscall.SIGKILL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestHost(t, func(timing *timing) { timing.ping = 300 * time.Millisecond })
			p, pool := start(t, h, spec(t, faulty.Settings{Leak: name == "SIGKILL, grandchild holds fd 1 and 2"}))
			first := pool.wait(t, 0)
			pid := serverPID(t, first)
			began := time.Now()
			die(t, h, pool)
			eventually(t, "Down", func() bool { return len(pool.down()) > 0 })
			if took := time.Since(began); took > 4*time.Second {
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
	for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000} {
		want *= time.Millisecond
		if got := b.next(time.Second); got > want || got < want*3/4 {
			t.Errorf("pause %v, want up to %v", got, want)
		}
	}
	if got := b.next(2 * time.Minute); got > 100*time.Millisecond {
		t.Errorf("pause %v after a healthy run", got)
	}
}
