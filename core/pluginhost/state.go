package pluginhost

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/control"
)

// loopAfter is how many processes of a plugin must end, none of which ran well
// for a while, until that is called a crash loop.
const loopAfter = 3

// standing is what State tells. Guarded by plugin.mu.
type standing struct {
	api.PluginState
	inst   *instance // runs now
	served time.Time // since when it serves; zero while it does not
	// crashes in a row; loop is the last of them, in words, while there are too
	// many.
	crashes int
	loop    string
}

// State implements api.Plugin.
func (p *plugin) State() api.PluginState {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.standing.PluginState
	s.Output = slices.Clone(s.Output)
	if p.life.Err() != nil {
		s.State, s.Reason = api.WorkerStopping, ""
	}
	return s
}

// Metrics implements api.Plugin.
func (p *plugin) Metrics(ctx context.Context) ([]byte, error) {
	p.mu.Lock()
	inst := p.standing.inst
	p.mu.Unlock()
	if inst == nil {
		return nil, fmt.Errorf("metrics of worker %s: %w", p.spec.Worker, api.ErrPluginGone)
	}
	ctx, cancel := context.WithTimeout(ctx, p.host.timing.call)
	defer cancel()
	answer, err := inst.rpc.Metrics(ctx, &control.MetricsRequest{})
	if err != nil {
		return nil, lessee{inst}.failed("metrics", err)
	}
	return answer.GetText(), nil
}

// is changes what State tells. Callers hold mu.
func (s *standing) is(state api.WorkerState, reason string) {
	if s.State != state || s.Reason != reason {
		s.State, s.Reason, s.Since = state, reason, time.Now()
	}
}

// runs notes the process that runs now.
func (p *plugin) runs(inst *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.standing.inst, p.standing.PID, p.standing.About = inst, inst.runner.process().PID(), inst.about
	p.standing.served = time.Time{}
}

// serves notes that endpoints are lent. Callers hold mu.
func (s *standing) serves() {
	if s.served.IsZero() {
		s.served = time.Now()
	}
	if s.loop != "" {
		s.is(api.WorkerDegraded, s.loop)
		return
	}
	s.is(api.WorkerReady, "")
}

// ended notes the end of a process; inst is nil when it did not even start.
func (p *plugin) ended(inst *instance, reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.standing
	s.inst, s.PID = nil, 0
	ranWell := inst != nil && !s.served.IsZero() && time.Since(s.served) >= p.host.timing.healthy
	if inst != nil {
		s.Output = inst.runner.printed()
	}
	if p.life.Err() != nil {
		return
	}
	if ranWell {
		s.crashes, s.loop = 0, ""
	}
	s.crashes++
	if p.lent != nil {
		s.is(api.WorkerDegraded, "its plugin has ended, what it started serves on: "+reason.Error())
	} else {
		s.is(api.WorkerDown, reason.Error())
	}
	if s.crashes < loopAfter {
		return
	}
	s.loop = fmt.Sprintf("it ended %d times in a row, the last time because: %v", s.crashes, reason)
	s.is(s.State, s.loop)
	if s.crashes == loopAfter {
		p.log.Error("the worker's plugin is in a crash loop; it is started again and again, ever more slowly",
			"reason", reason, "printed", s.Output, "hint", "see what it printed, and its log lines above")
	}
}

// recovered forgets crashes, after a process that ran well for a while.
func (p *plugin) recovered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.standing
	looped := s.loop != ""
	s.crashes, s.loop = 0, ""
	if !looped {
		return
	}
	p.log.Info("the worker's plugin runs well again")
	if s.State == api.WorkerDegraded && p.lent != nil && p.lent.inst == s.inst {
		s.is(api.WorkerReady, "")
		p.ails("")
	}
}

// ails passes on why what is lent serves, but not as it should; empty: it is
// well again. Callers hold mu.
func (p *plugin) ails(reason string) {
	if p.events.Degraded != nil {
		p.events.Degraded(reason)
	}
}
