package fastcgi

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mevdschee/tqserver/sdk/sockio"
)

const (
	// inSize is the buffer for reading: the params of a usual request fit.
	inSize = 8 << 10
	// followAfter is how long a handler may run in the goroutine that reads the
	// connection before another takes the reading over, to see an ABORT, a
	// closed connection or another request: half of it at least, twice at most.
	followAfter = 5 * time.Millisecond
	// lingerTime is how long what a web server still sends is read after the
	// last answer, since closing before it is read would destroy the answer.
	lingerTime = 5 * time.Second

	// breakOffTime is how long a web server that takes nothing is waited for
	// to tell it that its response is broken off.
	breakOffTime = time.Second
)

// conn is a web server's connection.
//
// One goroutine at a time reads it. It runs the handler of a request itself,
// without handing it over, unless another request is running. While it does
// nobody reads, but the handler's own reads from STDIN, and after followAfter
// a timer's goroutine becomes the reader; then the first ends with its handler.
type conn struct {
	srv *Server
	nc  net.Conn
	io  *sockio.Conn // reads and writes nc
	vec vecReader

	retiring atomic.Bool // ends after its next answer

	// Owned by the reader: in[r:w] was received and not looked at.
	in      []byte
	r, w    int
	head    header // the current record
	remain  int    // of its content
	padding int
	to      *stream  // where its content goes, nil to drop it
	toReq   *Request // the request of its content
	ready   *Request // to be run next
	records uint64
	pairs   Params // reused

	// Guarded by mu.
	mu         sync.Mutex
	reading    bool     // somebody reads; false while a handler runs inline
	inline     *Request // runs in the goroutine that will read again
	pumped     bool     // inline read from its STDIN since the last tick
	ticking    bool
	tickSeq    uint64
	seq        uint64
	kicked     bool
	idleReader sync.Cond // reading became false
	timer      *time.Timer
	requests   []*Request
	active     int // requests begun whose END has not been reached
	answering  int // whose END is being written
	unfinished int // whose input ReadTimeout bounds
	inHead     int // of these in their params
	closing    bool
	lingering  bool
	broken     bool // a response was given up: the close must not look like its end
	failed     error
	gone       bool // the reader has ended
	removed    bool
	stalled    *stream
	readLimit  time.Duration
	readSet    time.Time
	readSeen   uint64
	readIdle   bool
	draining   bool // no more input is taken but what has arrived

	// Guarded by wmu.
	wmu      sync.Mutex
	writing  atomic.Pointer[Request]
	writeSet time.Time
	writeOff atomic.Bool // the deadline was moved by a handler
	hdrs     []byte
	parts    [][]byte
	bufs     net.Buffers
	writeErr error
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, io: sockio.New(nc), in: make([]byte, inSize), reading: true}
	c.vec.init(nc)
	c.idleReader.L = &c.mu
	return c
}

// loop reads requests and runs them until the connection ends or another
// goroutine has become the reader.
func (c *conn) loop() {
	for {
		r, err := c.next()
		if err != nil {
			c.readEnded(err)
			return
		}
		if !c.run(r) {
			return
		}
	}
}

// next reads until there is a request to run in this goroutine.
func (c *conn) next() (*Request, error) {
	for {
		if err := c.parse(nil); err != nil {
			return nil, err
		}
		if r := c.ready; r != nil {
			c.ready = nil
			return r, nil
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// run runs the handler of r and says whether this goroutine still reads.
func (c *conn) run(r *Request) bool {
	c.mu.Lock()
	if c.active > 1 {
		c.mu.Unlock()
		go c.serve(r)
		return true
	}
	c.inline, c.reading = r, false
	c.seq++
	if !c.ticking {
		c.ticking, c.tickSeq = true, c.seq
		c.armTick()
	}
	c.mu.Unlock()

	c.serve(r)

	c.mu.Lock()
	defer c.mu.Unlock()
	for c.inline == r && c.reading {
		// The handler left a goroutine in a Read of STDIN.
		c.kick()
		c.idleReader.Wait()
	}
	if c.inline != r {
		return false
	}
	c.inline, c.reading = nil, true
	return true
}

// armTick has tick run at the next of the ticks that all connections have in common.
// c.mu is held.
func (c *conn) armTick() {
	wait := sockio.UntilTick(followAfter/2, followAfter)
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, c.tick)
		return
	}
	c.timer.Reset(wait)
}

// tick runs every followAfter while handlers run inline.
func (c *conn) tick() {
	c.mu.Lock()
	if c.inline == nil {
		c.ticking = false
		c.mu.Unlock()
		return
	}
	if c.seq != c.tickSeq || c.pumped || c.reading {
		c.tickSeq, c.pumped = c.seq, false
		c.armTick()
		c.mu.Unlock()
		return
	}
	c.inline, c.reading, c.ticking = nil, true, false
	c.mu.Unlock()
	c.loop()
}

// kick makes a Read of the connection return errKicked. c.mu is held.
func (c *conn) kick() {
	if !c.kicked {
		c.kicked = true
		_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// errKicked ends a wait for input that somebody else had ended.
var errKicked = errors.New("kicked")

// pump reads for the handler until something came for s. It returns how many
// bytes went to p. c.mu is held, and released while it reads.
func (c *conn) pump(s *stream, p []byte) int {
	c.reading, c.pumped = true, true
	c.mu.Unlock()
	n, err := c.pumpOnce(s, p)
	c.mu.Lock()
	if c.kicked {
		// Also when content came just then: the deadline is past.
		c.kicked, c.readLimit = false, -1
	}
	switch {
	case err == nil, errors.Is(err, errKicked):
	default:
		// The goroutine of the handler ends with it.
		c.inline = nil
		c.idleReader.Broadcast()
		go c.readEnded(err)
		for s.err == nil && !s.r.finished {
			s.r.changed.Wait()
		}
		return n
	}
	c.reading = false
	c.idleReader.Broadcast()
	return n
}

func (c *conn) pumpOnce(s *stream, p []byte) (int, error) {
	for {
		if err := c.parse(s); err != nil {
			return 0, err
		}
		if r := c.ready; r != nil {
			c.ready = nil
			go c.serve(r)
		}
		if c.to == s && c.remain > 0 {
			return c.readContent(p)
		}
		c.mu.Lock()
		done := s.err != nil || s.waiting() > 0 || s.expired || s.r.finished
		c.mu.Unlock()
		if done {
			return 0, nil
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
}

// serve runs the handler of r and ends the request.
func (c *conn) serve(r *Request) {
	st := &c.srv.state
	st.requests.Add(1)
	st.active.Add(1)
	completed := false
	defer func() {
		if completed {
			return
		}
		st.active.Add(-1)
		// A panic, or runtime.Goexit, which takes the reader with it.
		v := recover()
		if v != http.ErrAbortHandler { //nolint:errorlint // identity, as in net/http
			c.srv.report(KindPanic, c.nc.RemoteAddr(), fmt.Errorf("handler: %v\n%s", v, debug.Stack()))
		}
		r.out.Abort()
		c.finish(r)
		if v == nil {
			c.goexit(r)
		}
	}()
	c.srv.Handler.ServeFastCGI(&r.out, r)
	completed = true
	st.active.Add(-1)
	c.finish(r)
}

// goexit replaces the reader that ends with its handler.
func (c *conn) goexit(r *Request) {
	go func() {
		c.mu.Lock()
		mine := c.inline == r
		if mine {
			c.inline, c.reading = nil, true
		}
		c.mu.Unlock()
		if mine {
			c.loop()
		}
	}()
}
