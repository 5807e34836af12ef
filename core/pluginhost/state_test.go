package pluginhost

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/plugins/faulty"
)

// A crash loop is told once, with what the plugin printed last, and stays
// visible until a process has run well for a while. Another worker of the host
// does not notice.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, func(timing *timing) { timing.healthy = 5 * time.Second })
	calm, calmPool := start(t, h, spec(t, faulty.Settings{}))
	calmPID := serverPID(t, calmPool.wait(t, 0))
	p, pool := start(t, h, spec(t, faulty.Settings{}))
	if s := p.State(); s.State != api.WorkerReady || s.Reason != "" || s.PID == 0 || s.Restarts != 0 || s.About.Name != "faulty" {
		t.Errorf("%+v", s)
	}
	const said = "is in a crash loop"
	for n := range loopAfter {
		if h.log.has(said) {
			t.Errorf("told after %d crashes", n)
		}
		if _, err := request(pool.wait(t, n).Endpoints[0], "/exit"); err == nil {
			t.Error("half an answer passed for whole")
		}
	}
	eventually(t, "word of the loop", func() bool { return h.log.has("level=ERROR", said, "exit status 5", "no way to go on") })
	pool.wait(t, loopAfter)
	s := p.State()
	if s.State != api.WorkerDegraded || !strings.Contains(s.Reason, "3 times in a row") || s.Restarts != loopAfter ||
		!slices.Contains(s.Output, "no way to go on") || s.Since.IsZero() {
		t.Errorf("%+v", s)
	}
	eventually(t, "the end of the loop", func() bool { return p.State().State == api.WorkerReady })
	if now := serverPID(t, calmPool.wait(t, 0)); now != calmPID || calm.State().Restarts != 0 || len(calmPool.down()) > 0 {
		t.Errorf("the other worker noticed: %d, was %d; %+v", now, calmPID, calm.State())
	}
	stop(t, p)
	stop(t, calm)
	if s := p.State(); s.State != api.WorkerStopping {
		t.Errorf("%+v", s)
	}
}

// A plugin that dies while its processes serve on is degraded, one that hangs
// is down until the next is ready.
func TestStateWhileAPluginIsGone(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, func(timing *timing) { timing.backoff, timing.ping = time.Second, 300*time.Millisecond })
	p, pool := start(t, h, spec(t, faulty.Settings{Child: true}))
	pool.wait(t, 0)
	kill(t, p.State().PID, syscall.SIGKILL)
	eventually(t, "degraded", func() bool {
		s := p.State()
		return s.State == api.WorkerDegraded && strings.Contains(s.Reason, "signal: killed") && s.PID == 0
	})
	if _, err := p.Metrics(t.Context()); !errors.Is(err, api.ErrPluginGone) {
		t.Errorf("metrics of a dead plugin: %v", err)
	}
	pool.wait(t, 1)
	if s := p.State(); s.State != api.WorkerReady || s.Restarts != 1 {
		t.Errorf("%+v", s)
	}
	stop(t, p)
	q, qPool := start(t, h, spec(t, faulty.Settings{}))
	qPool.wait(t, 0)
	kill(t, q.State().PID, syscall.SIGSTOP)
	eventually(t, "down", func() bool { s := q.State(); return s.State == api.WorkerDown && strings.Contains(s.Reason, "hangs") })
	stop(t, q)
}

// A Ready of the same endpoints moves no request: it says that all is well.
func TestReadyAgainIsARecovery(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	p, pool := start(t, h, spec(t, faulty.Settings{Child: true, Ill: true}))
	eventually(t, "to be well again", func() bool {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return slices.Equal(pool.ills, []string{"it feels ill", ""})
	})
	if s := p.State(); s.State != api.WorkerReady || s.Reason != "" {
		t.Errorf("%+v", s)
	}
	pool.wait(t, 0)
	if _, second := pool.set(1); second {
		t.Error("the endpoints were lent twice")
	}
	stop(t, p)
}

func TestMetricsOfAPlugin(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	p, _ := start(t, h, spec(t, faulty.Settings{}))
	text, err := p.Metrics(t.Context())
	if err != nil || !strings.Contains(string(text), "\ngo_goroutines ") {
		t.Errorf("%q, %v", text, err)
	}
	stop(t, p)
}
