package backend

import (
	"context"
	"fmt"
	"time"
)

// waiter is a request in the queue; exactly one grant is sent when it is
// taken out of the list.
type waiter struct{ grant chan grant }

// grant is a connection just freed, or the place to open one.
type grant struct {
	conn *poolConn
	set  *lentSet
	at   int
	err  error
}

func (p *pool) wait(ctx context.Context, w *waiter) (grant, error) {
	timer := time.NewTimer(p.queueWait)
	defer timer.Stop()
	var err error
	select {
	case g := <-w.grant:
		return g, g.err
	case <-timer.C:
		err = errQueueWait
		if why := p.whyDown(); why != "" {
			err = fmt.Errorf("%w: %s", errQueueWait, why)
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.mu.Lock()
	for e := p.waiters.Front(); e != nil; e = e.Next() {
		if e.Value == w {
			p.waiters.Remove(e)
			p.mu.Unlock()
			return grant{}, err
		}
	}
	p.mu.Unlock()
	// The grant came in the same moment: it goes to the next in the queue.
	if g := <-w.grant; g.conn != nil {
		p.put(g.conn)
	} else if g.set != nil {
		p.giveUp(g.set, g.at)
	}
	return grant{}, err
}

func (p *pool) whyDown() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down
}
