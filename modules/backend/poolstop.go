package backend

import (
	"context"
	"fmt"
)

// stop refuses new requests, fails those that wait, and returns when every
// connection is back or ctx ends.
func (p *pool) stop(ctx context.Context) error {
	p.mu.Lock()
	p.stopped = true
	p.failWaiters(errPoolStopped)
	p.mu.Unlock()
	p.lost("it is stopping")
	p.mu.Lock()
	p.checkDrained()
	p.mu.Unlock()
	select {
	case <-p.drained:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		return fmt.Errorf("worker %s: %d requests still running: %w", p.name, p.open, context.Cause(ctx))
	}
}

// failWaiters gives all who wait an error. Callers hold mu.
func (p *pool) failWaiters(err error) {
	for w := p.first(); w != nil; w = p.first() {
		w.grant <- grant{err: err}
	}
}

// empty says whether no connection is open.
func (p *pool) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open == 0
}

// checkDrained closes drained once. Callers hold mu.
func (p *pool) checkDrained() {
	if !p.stopped || p.open > 0 {
		return
	}
	select {
	case <-p.drained:
	default:
		close(p.drained)
	}
}

// rest lets go of everything lent when no request is there and none came for
// idle_timeout; the next one wakes the pool. It says whether the pool rests.
func (p *pool) rest() bool {
	p.mu.Lock()
	if p.set == nil || p.stopped || p.waiters.Len() > 0 || p.open > len(p.set.idle) {
		p.mu.Unlock()
		return false
	}
	p.resting = true
	after := p.swap(nil, reasonRest)
	p.mu.Unlock()
	after()
	return true
}

// asleep makes a pool that has not served yet one at rest.
func (p *pool) asleep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resting, p.down = true, reasonRest
}

// failed fails all who wait for processes that could not be started; the next
// request tries again.
func (p *pool) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failWaiters(err)
	p.resting, p.down = true, err.Error()
}
