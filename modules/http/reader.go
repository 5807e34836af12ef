package http

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/sdk/sockio"
)

// watchAfter is how long a request runs at least before its client is watched; twice
// that at most.
const watchAfter = 10 * time.Millisecond

// reader reads a connection for net/http, and spares it what most requests do not
// need. While a handler runs, net/http reads one byte on a goroutine of its own, to
// learn that the client has left, and breaks that off by a read deadline in the
// past: here that read waits watchAfter before it asks the kernel, by when most
// requests have been answered. And it sets the read deadline six times for each
// request: here the connection is told only of one that comes before the one it
// has, and a read that ends too early goes on.
//
// What has come is read however late it is: a process that was stopped for a while,
// or a machine that slept, finds the deadline passed and the request there.
type reader struct {
	nc net.Conn
	io *sockio.Conn // reads and writes nc

	mu       sync.Mutex
	deadline time.Time // that holds; zero for none
	told     time.Time // that nc has
	cut      bool      // deadline was past when it was set: it ends reads, not waits
	came     bool      // it has passed, and there was something to read
	reading  bool      // nc is being read
	taken    bool      // by who hijacked it: nobody watches any more

	// Of the read that watches for the client, which waits.
	waiting bool
	over    chan struct{} // its deadline has passed
	timer   *time.Timer   // its wait; nil before the first
}

func newReader(nc net.Conn) *reader {
	return &reader{nc: nc, io: sockio.New(nc), over: make(chan struct{}, 1)}
}

// Read is net.Conn's Read.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 1 && !r.await() {
		return 0, os.ErrDeadlineExceeded
	}
	for again := false; ; again = true {
		if err := r.begin(again); err != nil {
			return 0, err
		}
		n, err := r.io.Read(p)
		if !r.end(err) {
			return n, err
		}
	}
}

// await waits watchAfter, and says whether to read then.
func (r *reader) await() bool {
	r.mu.Lock()
	if r.taken {
		r.mu.Unlock()
		return true
	}
	if past(r.deadline) {
		r.mu.Unlock()
		return false
	}
	r.waiting = true
	if pause := sockio.UntilTick(watchAfter, watchAfter); r.timer == nil {
		r.timer = time.NewTimer(pause)
	} else {
		r.timer.Reset(pause)
	}
	r.mu.Unlock()
	select {
	case <-r.over:
		r.timer.Stop()
		return false
	case <-r.timer.C:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.waiting { // its deadline passed in the same moment
		<-r.over
		return false
	}
	r.waiting = false
	return true
}

// begin tells nc the deadline if it needs to know.
func (r *reader) begin(again bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading = true
	switch {
	case r.came: // nothing is waited for
		r.came = false
		return r.tell(time.Time{})
	case again || r.early(r.deadline):
		return r.tell(r.deadline)
	}
	return nil
}

// end says whether a read must go on, since nc had an older deadline, or since
// its deadline came while there was something to read.
func (r *reader) end(err error) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading = false
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if !past(r.deadline) {
		return true
	}
	waiting, err := sockio.Peek(r.nc)
	r.came = err == nil && waiting > 0 && !r.cut
	return r.came
}

// early says whether a deadline comes before what nc has. Callers hold mu.
func (r *reader) early(t time.Time) bool {
	return !t.IsZero() && (r.told.IsZero() || t.Before(r.told))
}

// tell gives nc a deadline. Callers hold mu.
func (r *reader) tell(t time.Time) error {
	r.told = t
	return r.nc.SetReadDeadline(t)
}

// SetReadDeadline is net.Conn's.
func (r *reader) SetReadDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline, r.cut = t, past(t)
	switch {
	case r.waiting && r.cut:
		r.waiting = false
		r.over <- struct{}{} // has room: who waits takes it before the next wait
	case r.reading && r.early(t):
		return r.tell(t)
	}
	return nil
}

// take ends the watching: the connection has another owner.
func (r *reader) take() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = true
}

// past says whether a deadline has passed.
func past(t time.Time) bool { return !t.IsZero() && !t.After(time.Now()) }
