package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

var errStopped = errors.New("stopped")

// plugin is one supervised plugin: the process that runs now, and what those
// before it still have lent. It implements api.Plugin.
//
//	starting ──Ready──► serving ──dies──► orphaned ──Ready──► serving
//	    │                  │                  │ its groups died, or it had none
//	    └─error: Start     └──Stop──► over    └──► down ──Ready──► serving
type plugin struct {
	host   *Host
	spec   api.PluginSpec
	events api.PluginEvents
	log    *slog.Logger

	life    context.Context //nolint:containedctx // the plugin's own life, ended by Stop
	halt    context.CancelFunc
	done    chan struct{} // closed when nothing of it is left
	started chan error    // the outcome of the first start

	// mu is held while events are called, which makes them come one at a time.
	// Lock order: see Host.
	mu       sync.Mutex
	ready    bool // has been, once
	lent     *lease
	orphans  []*instance // dead; perhaps groups of theirs serve on
	standing standing

	// workMu is a leaf: the pool may release a set while it is told of the next
	// one, which happens under mu.
	workMu   sync.Mutex
	working  int // releases under way
	idle     chan struct{}
	stopping context.Context //nolint:containedctx // Stop's, for the supervising goroutine
	stopErr  error
	reason   string // said last, for a start that does not come to its end
}

func newPlugin(h *Host, spec api.PluginSpec, events api.PluginEvents) *plugin {
	p := &plugin{
		host: h, spec: spec, events: events, log: h.log.With("worker", spec.Worker, "plugin", spec.Type),
		done: make(chan struct{}), started: make(chan error, 1), idle: make(chan struct{}, 1),
	}
	p.life, p.halt = context.WithCancel(context.Background())
	p.standing.is(api.WorkerStarting, "")
	return p
}

// start returns after the first Ready, or with the reason why there was none.
func (p *plugin) start(ctx context.Context) error {
	go p.supervise() //nolint:contextcheck // it lives until Stop, not as long as the start
	select {
	case err := <-p.started:
		if err != nil {
			<-p.done
		}
		return err
	case <-ctx.Done():
	}
	p.mu.Lock()
	reason := p.reason
	p.mu.Unlock()
	if reason != "" {
		reason = ": " + reason
	}
	err := fmt.Errorf("plugin %s of worker %s is not ready%s: %w", p.spec.Type, p.spec.Worker, reason, context.Cause(ctx))
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.host.timing.end)
	defer cancel()
	return errors.Join(err, p.Stop(short))
}

// Stop implements api.Plugin. A second call waits for the first.
func (p *plugin) Stop(ctx context.Context) error {
	p.mu.Lock()
	if p.stopping == nil {
		p.stopping = ctx
	}
	p.mu.Unlock()
	p.halt()
	<-p.done // every step to it has a bound
	p.host.forget(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopErr
}

// abandon ends the supervision without asking the plugin, as Reap does.
func (p *plugin) abandon() {
	p.mu.Lock()
	if p.stopping == nil {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		p.stopping = over
	}
	p.mu.Unlock()
	p.halt()
}

func (p *plugin) wait(ctx context.Context) bool {
	select {
	case <-p.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// stopContext is the one Stop was called with; one that is over when it was not.
func (p *plugin) stopContext() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping != nil {
		return p.stopping
	}
	return p.life
}

// supervise runs one plugin process after the other until Stop.
func (p *plugin) supervise() {
	defer close(p.done)
	defer p.finish()
	wait := newBackoff(p.host.timing)
	for {
		began := time.Now()
		inst, err := p.runOnce()
		p.ended(inst, err)
		if p.life.Err() != nil {
			p.reportStart(errStopped)
			return
		}
		if !p.wasReady() {
			p.reportStart(err) // the caller names the worker
			p.halt()
			return
		}
		pause := wait.next(time.Since(began))
		p.mu.Lock()
		p.standing.Restarts++
		p.mu.Unlock()
		p.log.Warn("the plugin ended; starting another", "reason", err, "in", pause)
		p.stillDown(err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.life.Done():
			timer.Stop()
			return
		}
	}
}

// reportStart tells start how it went; only the first word counts.
func (p *plugin) reportStart(err error) {
	select {
	case p.started <- err:
	default:
	}
}

func (p *plugin) wasReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready
}

// finish ends what dead plugin processes have left, and waits for releases
// under way.
func (p *plugin) finish() {
	ctx, cancel := context.WithTimeout(p.stopContext(), p.host.timing.stop)
	defer cancel()
	p.mu.Lock()
	orphans := p.orphans
	p.orphans, p.lent = nil, nil
	p.mu.Unlock()
	errs := make([]error, len(orphans))
	var all sync.WaitGroup
	for n, inst := range orphans {
		all.Go(func() { errs[n] = inst.endRest(ctx) })
	}
	all.Wait()
	bound, cancel := context.WithTimeout(context.Background(), p.host.timing.call+reapWait)
	defer cancel()
	for {
		p.workMu.Lock()
		working := p.working
		p.workMu.Unlock()
		p.mu.Lock()
		p.stopErr = errors.Join(append(errs, p.stopErr)...)
		errs = nil
		p.mu.Unlock()
		if working == 0 {
			return
		}
		select {
		case <-p.idle:
		case <-bound.Done():
			p.log.Error("releasing endpoints takes too long")
			return
		}
	}
}

// release does the work of an EndpointSet.Release beside the pool.
func (p *plugin) release(work func()) {
	p.workMu.Lock()
	if p.life.Err() != nil {
		p.workMu.Unlock()
		return // all is being ended anyway
	}
	p.working++
	p.workMu.Unlock()
	go func() {
		defer func() {
			p.workMu.Lock()
			p.working--
			p.workMu.Unlock()
			select {
			case p.idle <- struct{}{}:
			default:
			}
		}()
		work()
	}()
}
