package backend

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// dialTimeout bounds one connect to an endpoint on this machine; a listening
// socket with room in its backlog answers at once.
const dialTimeout = 5 * time.Second

// The pause before an endpoint that refused is tried again, doubling.
const (
	redialPause     = 5 * time.Millisecond
	redialPauseMost = 250 * time.Millisecond
)

// Why a request got no connection.
var (
	errRefused     = errors.New("no connection to the worker's process")
	errQueueFull   = errors.New("the queue is full")
	errQueueWait   = errors.New("no child became free in time")
	errPoolStopped = errors.New("the worker is stopping")
)

// pool is the queue and the kept connections of one worker. At most one
// request at a time is on a connection, so the open connections are the
// requests its processes can be busy with; who finds none free waits in the
// queue, first come first served.
//
// Lock order: mu is a leaf, nothing is called while it is held.
type pool struct {
	name        string
	queueLength int
	queueWait   time.Duration

	mu      sync.Mutex
	set     *lentSet   // newest; nil while nothing is lent
	down    string     // why set is nil
	waiters *list.List // of *waiter
	open    int        // connections of all sets, for drain
	drained chan struct{}
	stopped bool
}

func newPool(name string, queueLength int, queueWait time.Duration) *pool {
	return &pool{
		name: name, queueLength: queueLength, queueWait: queueWait,
		waiters: list.New(), drained: make(chan struct{}), down: "its plugin has not lent an endpoint yet",
	}
}

// acquire returns a live connection with no request on it. An endpoint that
// refuses, as one does whose process has just died, is tried again until the
// queue's wait is over: nothing of the request has been sent. Its errors are
// errQueueFull, errQueueWait, errPoolStopped, ctx's, or the last dial's.
func (p *pool) acquire(ctx context.Context) (*poolConn, error) {
	start := time.Now()
	for pause := redialPause; ; pause = min(2*pause, redialPauseMost) {
		c, err := p.tryAcquire(ctx)
		if err == nil || !errors.Is(err, errRefused) || time.Since(start)+pause > p.queueWait {
			return c, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
	}
}

func (p *pool) tryAcquire(ctx context.Context) (*poolConn, error) {
	g, w, err := p.take()
	if err != nil {
		return nil, err
	}
	if w != nil {
		if g, err = p.wait(ctx, w); err != nil {
			return nil, err
		}
	}
	for g.conn != nil {
		if g.conn.Alive() {
			return g.conn, nil
		}
		// The child ended while the connection was idle: its place is ours.
		_ = g.conn.Close()
		g = grant{set: g.conn.set, at: g.conn.endpoint}
		if c := p.anotherIdle(g); c != nil {
			g = grant{conn: c}
		}
	}
	return p.dial(ctx, g)
}

// take gives an idle connection, the right to open one, or a place in the queue.
func (p *pool) take() (grant, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return grant{}, nil, errPoolStopped
	}
	if g, ok := p.free(); ok {
		return g, nil, nil
	}
	if p.waiters.Len() >= p.queueLength {
		return grant{}, nil, errQueueFull
	}
	w := &waiter{grant: make(chan grant, 1)}
	p.waiters.PushBack(w)
	return grant{}, w, nil
}

// free takes what is free now: the connection used last, else a place on the
// endpoint with the fewest connections. Callers hold mu.
func (p *pool) free() (grant, bool) {
	s := p.set
	if s == nil {
		return grant{}, false
	}
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return grant{conn: c}, true
	}
	best := -1
	for i, e := range s.Endpoints {
		if s.used[i] < e.MaxConcurrent && (best < 0 || s.used[i] < s.used[best]) {
			best = i
		}
	}
	if best < 0 {
		return grant{}, false
	}
	p.reserve(s, best)
	return grant{set: s, at: best}, true
}

// reserve counts a connection that will be opened. Callers hold mu.
func (p *pool) reserve(s *lentSet, at int) {
	s.used[at]++
	s.total++
	p.open++
}

// anotherIdle trades a place for an idle connection, so that one dead kept
// connection does not cost a dial while a live one is at hand.
func (p *pool) anotherIdle(g grant) *poolConn {
	p.mu.Lock()
	n := len(g.set.idle)
	if n == 0 {
		p.mu.Unlock()
		return nil
	}
	c := g.set.idle[n-1]
	g.set.idle = g.set.idle[:n-1]
	release := p.giveBack(g.set, g.at)
	p.mu.Unlock()
	release()
	return c
}

func (p *pool) dial(ctx context.Context, g grant) (*poolConn, error) {
	e := g.set.Endpoints[g.at]
	d := net.Dialer{Timeout: dialTimeout}
	nc, err := d.DialContext(ctx, e.Network, e.Address)
	if err != nil {
		p.giveUp(g.set, g.at)
		return nil, fmt.Errorf("%w: endpoint %s: %w", errRefused, e.ID, err)
	}
	return newPoolConn(nc, g), nil
}

// put takes back a connection whose request has ended: it goes to the first
// in the queue, or becomes idle, or is closed when it cannot be used again.
func (p *pool) put(c *poolConn) {
	c.end()
	if !c.Reusable() {
		p.discard(c)
		return
	}
	p.mu.Lock()
	switch {
	case c.set != p.set || p.stopped:
		p.mu.Unlock()
		p.discard(c)
		return
	case p.waiters.Len() > 0:
		w, _ := p.waiters.Remove(p.waiters.Front()).(*waiter)
		w.grant <- grant{conn: c}
	default:
		c.set.idle = append(c.set.idle, c)
	}
	p.mu.Unlock()
}

// discard closes a connection and frees its place.
func (p *pool) discard(c *poolConn) {
	c.end()
	_ = c.Close()
	p.giveUp(c.set, c.endpoint)
}

// giveUp frees the place of a connection that is closed or was never opened.
func (p *pool) giveUp(s *lentSet, at int) {
	p.mu.Lock()
	release := p.giveBack(s, at)
	p.grantFree()
	p.mu.Unlock()
	release()
}

// stop refuses new requests, fails those that wait, and returns when every
// connection is back or ctx ends.
func (p *pool) stop(ctx context.Context) error {
	p.mu.Lock()
	if !p.stopped {
		p.stopped = true
		for e := p.waiters.Front(); e != nil; e = p.waiters.Front() {
			w, _ := p.waiters.Remove(e).(*waiter)
			w.grant <- grant{err: errPoolStopped}
		}
	}
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

// idle says whether no connection is open.
func (p *pool) idle() bool {
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
