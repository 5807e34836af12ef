package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
)

// gaveUpError ends a plugin process that lives but cannot serve: it said so,
// or Run has returned. What it lent is not used any more.
type gaveUpError struct{ error }

func (e gaveUpError) Unwrap() error { return e.error }

// runOnce runs one plugin process from its start to its end, and says why it
// ended. Nothing of it is left then but groups that serve lent endpoints.
func (p *plugin) runOnce() (*instance, error) {
	inst, err := p.host.launch(p.life, p.spec, p.host.enter(p.spec))
	if err != nil {
		return nil, err
	}
	p.runs(inst)
	reports, err := p.begin(inst)
	if err == nil {
		err = p.attend(inst, reports)
	} else {
		err = gaveUpError{err}
	}
	switch gaveUp := (gaveUpError{}); {
	case p.life.Err() != nil:
		// Not cut short by life's end: Stop's own context says how long.
		err := inst.end(p.stopContext())
		p.mu.Lock()
		p.stopErr = errors.Join(p.stopErr, err)
		p.mu.Unlock()
	case errors.As(err, &gaveUp):
		p.down(inst, err.Error())
		ctx, cancel := context.WithTimeout(p.life, p.host.timing.end)
		defer cancel()
		if err := inst.end(ctx); err != nil {
			p.log.Warn("ending a plugin that gave up", "error", err)
		}
	default:
		p.lost(inst, err)
	}
	return inst, err
}

// begin does Check and Run.
func (p *plugin) begin(inst *instance) (<-chan report, error) {
	problems, err := inst.check(p.life, p.spec)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, &api.SettingsError{Problems: problems}
	}
	return inst.run(p.life)
}

// attend follows the states until the process ends, hangs, gives up or is to
// be stopped.
func (p *plugin) attend(inst *instance, reports <-chan report) error {
	unready := time.NewTimer(p.host.timing.ready)
	defer unready.Stop()
	well := time.NewTimer(p.host.timing.healthy)
	defer well.Stop()
	for {
		select {
		case r := <-reports:
			if r.err != nil {
				return streamEnded(inst, r.err)
			}
			inst.adopt(r.state)
			switch r.state.Kind {
			case sdk.Ready:
				unready.Stop()
				p.lend(inst, r.state.Endpoints)
			case sdk.Failed:
				return gaveUpError{errors.New(r.state.Reason)}
			case sdk.Degraded:
				p.say(r.state.Reason)
				p.log.Warn("the plugin is degraded", "reason", r.state.Reason)
				p.degraded(inst, r.state.Reason)
			case sdk.Starting:
				p.say(r.state.Reason)
			}
		case err := <-inst.sick:
			return err
		case <-inst.runner.process().Done():
			return fmt.Errorf("its process is gone%s", inst.runner.explain())
		case <-unready.C:
			if p.wasReady() { // the first start has the bound of its caller
				return gaveUpError{fmt.Errorf("not ready after %v", p.host.timing.ready)}
			}
		case <-well.C:
			p.recovered()
		case <-p.life.Done():
			return errStopped
		}
	}
}

// streamEnded tells a Run that returned from a connection that broke.
func streamEnded(inst *instance, err error) error {
	if errors.Is(err, io.EOF) {
		return gaveUpError{errors.New("it ended its run")}
	}
	switch s, ok := status.FromError(err); {
	case !ok: // a state we do not understand
		return gaveUpError{err}
	case s.Code() == codes.Aborted || s.Code() == codes.Internal:
		return gaveUpError{errors.New(s.Message())}
	case s.Code() == codes.Unimplemented:
		return gaveUpError{errors.New("it does not offer Run")}
	}
	// The process is dying: how it ended says more than how the stream did.
	waitFor(inst.runner.process(), time.Second)
	if proc := inst.runner.process(); proc.Ended() {
		return fmt.Errorf("its process is gone%s", inst.runner.explain())
	}
	return fmt.Errorf("its connection broke: %w", err)
}

// say keeps what a plugin that does not serve yet says of itself.
func (p *plugin) say(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reason = reason
	if p.lent == nil {
		p.standing.is(api.WorkerStarting, reason)
	}
}

// lend passes new endpoints on.
func (p *plugin) lend(inst *instance, endpoints []sdk.Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life.Err() != nil {
		return
	}
	if p.lent != nil && p.lent.inst == inst && reflect.DeepEqual(p.lent.endpoints, endpoints) {
		// It is well again, and nothing has to move.
		p.standing.serves()
		p.ails(p.standing.loop)
		return
	}
	p.lent = inst.lend(endpoints)
	if p.events.Ready != nil {
		p.events.Ready(p.lent.set(p.release))
	}
	p.ready = true
	p.standing.serves()
	if p.standing.loop != "" {
		p.ails(p.standing.loop)
	}
	p.reportStart(nil)
}

// down says that nothing is lent any more, if it was inst that lent.
func (p *plugin) down(inst *instance, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lent == nil || p.lent.inst != inst || p.life.Err() != nil {
		return
	}
	p.lent = nil
	if p.events.Down != nil {
		p.events.Down(reason)
	}
}

// degraded passes on what the plugin whose endpoints are lent says of itself.
func (p *plugin) degraded(inst *instance, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lent == nil || p.lent.inst != inst || p.life.Err() != nil {
		return
	}
	p.standing.is(api.WorkerDegraded, reason)
	p.ails(reason)
}

// stillDown renews the reason while there is nothing to lend.
func (p *plugin) stillDown(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lent == nil && p.life.Err() == nil && p.events.Down != nil {
		p.events.Down(err.Error())
	}
}

// lost clears up after a plugin process that died or hangs. What it lent stays
// in use as long as process groups of their own serve it.
func (p *plugin) lost(inst *instance, reason error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.life), reapWait)
	defer cancel()
	if !inst.runner.process().Ended() {
		inst.adopt(sdk.State{}) // it hangs: what it started and has not told yet
	}
	if err := inst.bury(ctx); err != nil {
		p.log.Error("killing a lost plugin", "error", err)
	}
	inst.goOn()
	p.mu.Lock()
	p.orphans = append(slices.DeleteFunc(p.orphans, (*instance).empty), inst)
	l := p.lent
	p.mu.Unlock()
	if l != nil && l.inst == inst {
		if l.outlives() {
			p.log.Info("the worker's processes go on without their plugin until the next one is ready")
			p.release(func() { p.watchOrphans(l, reason) })
		} else {
			p.down(inst, reason.Error())
		}
	}
	p.release(func() { inst.endUnused(context.WithoutCancel(p.life)) })
}

// watchOrphans says Down when what serves without a plugin dies as well.
func (p *plugin) watchOrphans(l *lease, reason error) {
	ticker := time.NewTicker(p.host.timing.orphans)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-p.life.Done():
			return
		}
		p.mu.Lock()
		current := p.lent == l
		p.mu.Unlock()
		if !current {
			return
		}
		if !l.outlives() {
			p.down(l.inst, reason.Error())
			return
		}
	}
}

// goOn lets what a dead plugin has stopped go on: the one that was to do so is
// gone, and without its parent a php-cgi has fewer and fewer children.
func (i *instance) goOn() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, g := range i.groups {
		if err := g.Signal(syscall.SIGCONT); err != nil {
			i.log.Debug("waking what a dead plugin left", "group", g.ID, "error", err)
		}
	}
}

// empty reports whether nothing of a dead plugin is left.
func (i *instance) empty() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.groups) == 0 && len(i.leases) == 0
}
