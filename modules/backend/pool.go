package backend

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	errQueueWait   = errors.New("no process became free in time")
	errPoolStopped = errors.New("the worker is stopping")
)

// Why nothing is lent, when nothing is wrong.
const (
	reasonNew    = "its plugin has not lent an endpoint yet"
	reasonRest   = "at rest"
	reasonWaking = "its processes start"
)

// pool is the queue and the kept connections of one worker. At most one
// request at a time is on a connection, so the open connections are the
// requests its processes can be busy with; who finds none free waits in the
// queue, first come first served.
//
// A connection is dialled, then by turns busy and idle, and at its end held
// (by a retirement, or by a script whose client has left) or closed at once.
//
// Lock order: mu is a leaf, nothing is called while it is held.
type pool struct {
	name   string
	config poolSettings
	log    *slog.Logger
	// wake starts the processes of a pool at rest, sleep lets it rest; nil for a
	// pool that never does.
	wake, sleep func()

	mu      sync.Mutex
	set     *lentSet // newest; nil while nothing is lent
	down    string   // why set is nil
	ailing  string   // why its plugin says it is degraded
	resting bool     // set is nil because nobody needed it
	waiters list.List
	busy    []*poolConn // each knows its place
	open    int         // connections of all sets, for drain
	held    int         // of those, without a request: being retired or let go
	retires int         // retirements under way
	drained chan struct{}
	stopped bool

	watch watch
	crash crashes
	stats stats
}

func newPool(name string, config poolSettings, log *slog.Logger) *pool {
	p := &pool{
		name: name, config: config, log: log, drained: make(chan struct{}),
		down: reasonNew, stats: newStats(),
	}
	p.watch.timer = time.AfterFunc(time.Hour, p.tick)
	p.watch.timer.Stop()
	return p
}

// acquire gives the call a live connection with no request on it. An endpoint
// that refuses, as one does whose process has just died, is tried again until the
// queue's wait is over: nothing of the request has been sent. Its errors are
// errQueueFull, errQueueWait, errPoolStopped, the client's leave, or the last dial's.
func (p *pool) acquire(c *call) (*poolConn, error) {
	for pause := redialPause; ; pause = min(2*pause, redialPauseMost) {
		conn, err := p.tryAcquire(c)
		if err == nil || !errors.Is(err, errRefused) || time.Since(c.arrived)+pause > p.config.Queue.Wait {
			return conn, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-c.r.Context().Done():
			timer.Stop()
			return nil, context.Cause(c.r.Context())
		}
	}
}

func (p *pool) tryAcquire(c *call) (*poolConn, error) {
	g, w, err := p.take(c)
	if err != nil {
		return nil, err
	}
	if w != nil {
		if g, err = p.wait(c.r.Context(), w); err != nil {
			return nil, err
		}
	}
	for g.conn != nil {
		if g.conn.live(c.again) {
			return g.conn, nil
		}
		// The child ended while the connection was idle: its place is ours.
		p.letGo(g.conn)
		_ = g.conn.Close()
		g = grant{set: g.conn.set, at: g.conn.endpoint}
		if conn := p.anotherIdle(c, g); conn != nil {
			g = grant{conn: conn}
		}
	}
	return p.dial(c, g)
}

// take gives an idle connection, the right to open one, or a place in the queue.
func (p *pool) take(c *call) (grant, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.accepted { // once, however often it asks
		c.accepted = true
		p.stats.accept(c.arrived)
	}
	if p.stopped {
		return grant{}, nil, errPoolStopped
	}
	if p.waiters.Len() == 0 {
		if g, ok := p.free(); ok {
			p.begin(c, g)
			return g, nil, nil
		}
	}
	if p.waiters.Len() >= p.config.Queue.Length {
		return grant{}, nil, errQueueFull
	}
	w := &waiter{call: c, grant: make(chan grant, 1), since: time.Now()}
	p.waiters.PushBack(w)
	p.stats.waits(p.waiters.Len(), p.set != nil)
	p.arm(tickFast)
	if p.resting && p.wake != nil {
		p.resting = false
		p.down = reasonWaking
		go p.wake()
	}
	return grant{}, w, nil
}

// begin books a grant to a call: its time on a process begins. Callers hold mu.
func (p *pool) begin(c *call, g grant) {
	c.started = time.Now()
	p.stats.queueWait.observe(c.started.Sub(c.arrived))
	if g.conn != nil {
		p.occupy(g.conn, c)
	}
	p.arm(tickFast)
}

// occupy puts the call on the connection. Callers hold mu.
func (p *pool) occupy(conn *poolConn, c *call) {
	conn.call, conn.place, conn.fate, conn.unbound = c, len(p.busy), running, false
	conn.requests++
	conn.looked.begun()
	p.busy = append(p.busy, conn)
	p.stats.activeMost = max(p.stats.activeMost, len(p.busy))
}

// vacate takes the call off the connection, and says what was to become of it.
// Callers hold mu.
func (p *pool) vacate(conn *poolConn) fate {
	if conn.place < 0 {
		return running
	}
	last := len(p.busy) - 1
	p.busy[conn.place] = p.busy[last]
	p.busy[conn.place].place = conn.place
	p.busy[last] = nil
	p.busy = p.busy[:last]
	conn.place = -1
	conn.last = time.Now()
	ran := conn.last.Sub(conn.call.started)
	p.stats.duration.observe(ran)
	conn.brief = briefOf(conn.call, ran)
	conn.brief.cpu = conn.looked.ended(conn.last)
	return conn.fate
}

// letGo is vacate for a connection that leaves the pool.
func (p *pool) letGo(conn *poolConn) {
	p.mu.Lock()
	p.vacate(conn)
	p.mu.Unlock()
	conn.flush()
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
		s.idle[n-1] = nil
		s.idle = s.idle[:n-1]
		return grant{conn: c}, true
	}
	at := s.leastUsed()
	if at < 0 {
		return grant{}, false
	}
	p.reserve(s, at)
	return grant{set: s, at: at}, true
}

// reserve counts a connection that will be opened. Callers hold mu.
func (p *pool) reserve(s *lentSet, at int) {
	s.used[at]++
	s.total++
	p.open++
}

// anotherIdle trades a place for an idle connection, so that one dead kept
// connection does not cost a dial while a live one is at hand.
func (p *pool) anotherIdle(c *call, g grant) *poolConn {
	p.mu.Lock()
	n := len(g.set.idle)
	if n == 0 {
		p.mu.Unlock()
		return nil
	}
	conn := g.set.idle[n-1]
	g.set.idle = g.set.idle[:n-1]
	p.occupy(conn, c)
	release := p.giveBack(g.set, g.at)
	p.mu.Unlock()
	release()
	return conn
}

func (p *pool) dial(c *call, g grant) (*poolConn, error) {
	conn, err := p.connect(c.r.Context(), g)
	if err != nil {
		p.giveUp(g.set, g.at)
		return nil, err
	}
	p.mu.Lock()
	p.occupy(conn, c)
	p.mu.Unlock()
	return conn, nil
}

func (p *pool) connect(ctx context.Context, g grant) (*poolConn, error) {
	e := g.set.Endpoints[g.at]
	d := net.Dialer{Timeout: dialTimeout}
	nc, err := d.DialContext(ctx, e.Network, e.Address)
	if err != nil {
		return nil, fmt.Errorf("%w: endpoint %s: %w", errRefused, e.ID, err)
	}
	return newPoolConn(nc, g, p.config), nil
}

// put takes back a connection whose request has ended: it goes to the first
// in the queue, or becomes idle, or is closed or retired.
func (p *pool) put(c *poolConn) {
	c.flush()
	p.mu.Lock()
	if p.vacate(c) != running {
		// Its time was over in the moment its answer was complete.
		_ = c.SetDeadline(time.Time{})
	}
	switch {
	case !c.Reusable(), c.set != p.set, p.stopped:
		release := p.closing(c)
		p.mu.Unlock()
		_ = c.Close()
		release()
		return
	case p.due(c):
		p.mu.Unlock()
		return
	}
	p.idle(c)
	p.mu.Unlock()
}

// idle gives a connection to the first in the queue, or keeps it. Callers hold mu.
func (p *pool) idle(c *poolConn) {
	p.crash.row = 0
	if w := p.first(); w != nil {
		p.hand(w, grant{conn: c})
		return
	}
	c.set.idle = append(c.set.idle, c)
}

// discard closes a connection and frees its place.
func (p *pool) discard(c *poolConn) {
	c.flush()
	p.mu.Lock()
	p.vacate(c)
	release := p.closing(c)
	p.mu.Unlock()
	_ = c.Close()
	release()
}

// closing gives back the place of a connection that the caller closes. Callers
// hold mu.
func (p *pool) closing(c *poolConn) func() {
	release := p.giveBack(c.set, c.endpoint)
	p.grantFree()
	return release
}

// unhold closes a connection that was held without a request, and frees its place.
func (p *pool) unhold(c *poolConn) {
	_ = c.Close()
	p.mu.Lock()
	p.held--
	release := p.closing(c)
	p.mu.Unlock()
	release()
}

// giveUp frees the place of a connection that is closed or was never opened.
func (p *pool) giveUp(s *lentSet, at int) {
	p.mu.Lock()
	release := p.giveBack(s, at)
	p.grantFree()
	p.mu.Unlock()
	release()
}
