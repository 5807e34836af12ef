package backend

import (
	"context"
	"fmt"
	"time"
)

// waiter is a request in the queue; exactly one grant is sent when it is
// taken out of the list.
type waiter struct {
	call  *call
	grant chan grant
	since time.Time
}

// grant is a connection just freed, or the place to open one.
type grant struct {
	conn *poolConn
	set  *lentSet
	at   int
	err  error
}

// wait waits for the grant. The pool's watch sends one when queue.wait is over.
func (p *pool) wait(ctx context.Context, w *waiter) (grant, error) {
	select {
	case g := <-w.grant:
		return g, g.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	for e := p.waiters.Front(); e != nil; e = e.Next() {
		if e.Value == w {
			p.waiters.Remove(e)
			p.mu.Unlock()
			return grant{}, context.Cause(ctx)
		}
	}
	p.mu.Unlock()
	// The grant came in the same moment: it goes to the next in the queue.
	if g := <-w.grant; g.conn != nil {
		p.put(g.conn)
	} else if g.set != nil {
		p.giveUp(g.set, g.at)
	}
	return grant{}, context.Cause(ctx)
}

// first takes the first waiter out of the queue, nil when there is none.
// Callers hold mu, and send it a grant.
func (p *pool) first() *waiter {
	e := p.waiters.Front()
	if e == nil {
		return nil
	}
	w, _ := p.waiters.Remove(e).(*waiter)
	return w
}

// hand gives a waiter that was taken out of the queue what is free. Callers
// hold mu.
func (p *pool) hand(w *waiter, g grant) {
	p.begin(w.call, g)
	w.grant <- g
}

// expire fails those who have waited for queue.wait. Callers hold mu.
func (p *pool) expire(now time.Time) {
	for e := p.waiters.Front(); e != nil; e = p.waiters.Front() {
		w, _ := e.Value.(*waiter)
		if now.Sub(w.since) < p.config.Queue.Wait {
			return
		}
		p.waiters.Remove(e)
		err := errQueueWait
		if p.down != "" {
			err = fmt.Errorf("%w: %s", errQueueWait, p.down)
		}
		w.grant <- grant{err: err}
	}
}
