package backend

import (
	"time"
)

// How often the pool looks at its requests while there are any, and at its
// idle processes when there are none: the precision of all its deadlines.
const (
	tickFast = 50 * time.Millisecond
	tickSlow = 500 * time.Millisecond
	// measureEvery is the pause between two looks at a process's memory.
	measureEvery = time.Second
)

// watch is the one timer of a pool: no request has its own. It is armed while
// there is something to look at.
type watch struct {
	timer   *time.Timer
	next    time.Duration // to which it is armed, 0 when it is not
	ticking bool
	seen    uint64    // requests there had been at the last tick
	measure time.Time // when memory was looked at last
	telling bool      // slow requests are being logged
	load    loadReport
}

// arm has the watch look within d. Callers hold mu.
func (p *pool) arm(d time.Duration) {
	w := &p.watch
	if w.ticking || w.next != 0 && w.next <= d {
		return
	}
	w.next = d
	w.timer.Reset(d)
}

// tick looks at everything that takes time, and arms itself for the next look.
func (p *pool) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &p.watch
	if w.ticking {
		return
	}
	w.ticking = true
	now := time.Now()
	p.expire(now)
	p.interrupt(now)
	p.age(now)
	p.reportLoad(now)
	w.ticking, w.next = false, 0
	recent := w.seen != p.stats.accepted
	w.seen = p.stats.accepted
	idle := 0
	if p.set != nil {
		idle = len(p.set.idle)
	}
	switch {
	// Open but not idle is what carries a request, or will when it is dialled.
	case p.open > idle || p.waiters.Len() > 0 || recent || w.load.pending:
		p.arm(tickFast)
	case idle > 0 && !p.stopped:
		p.arm(tickSlow)
	case p.config.Manager == managerOndemand && p.set != nil && !p.stopped:
		p.arm(tickSlow)
	}
}

// interrupt ends the reading from processes whose request has run too long or
// has no client any more; the handler then finds out why and acts. Callers hold mu.
func (p *pool) interrupt(now time.Time) {
	var slow []*poolConn
	for _, c := range p.busy {
		if c.fate != running || c.unbound {
			continue
		}
		ran := now.Sub(c.call.started)
		switch {
		case ran >= p.config.RequestTimeout:
			c.fate = timedOut
		case !c.call.streams && c.call.r.Context().Err() != nil:
			c.fate = clientGone
		}
		if c.fate != running {
			_ = c.SetDeadline(now) // in the past from now on
			continue
		}
		if t := p.config.SlowLog.Threshold; t > 0 && ran >= t && !c.call.slow {
			slow = append(slow, c)
		}
	}
	p.tellSlow(slow)
}

// fateOf says what the watch has decided.
func (p *pool) fateOf(c *poolConn) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return c.fate
}

// age retires idle processes whose time is over, and has memory looked at.
// Callers hold mu.
func (p *pool) age(now time.Time) {
	if p.set == nil || p.stopped {
		return
	}
	measure := p.config.MaxMemory > 0 && now.Sub(p.watch.measure) >= measureEvery
	if measure {
		p.watch.measure = now
		for _, c := range p.busy {
			c.measure = true
		}
		for _, c := range p.set.idle {
			c.measure = c.last.After(now.Add(-2 * measureEvery))
		}
	}
	spare := len(p.busy) + len(p.set.idle) - p.config.MinWorkers
	switch p.config.Manager {
	case managerStatic:
		spare = 0
	case managerOndemand:
		spare = len(p.set.idle)
	}
	kept := p.set.idle[:0]
	for i, c := range p.set.idle { // the one idle for longest is first
		reason := ""
		switch {
		case now.Sub(c.last) >= p.config.IdleTimeout && i < spare:
			reason = retireIdle
		case !c.dies.IsZero() && now.After(c.dies):
			reason = retireAge
		case c.limit > 0 && c.requests >= c.limit:
			reason = retireRequests
		case c.measure:
			reason = retireMemory
		}
		if reason == "" || !p.beginRetire(c, reason) {
			kept = append(kept, c)
		}
	}
	clear(p.set.idle[len(kept):])
	p.set.idle = kept
	if p.config.Manager == managerOndemand && p.open == 0 && p.waiters.Len() == 0 && p.wake != nil &&
		now.Sub(p.stats.last) >= p.config.IdleTimeout {
		go p.sleep()
	}
}
