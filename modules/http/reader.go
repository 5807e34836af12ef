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
type reader struct {
	nc net.Conn
	io *sockio.Conn // reads and writes nc

	mu       sync.Mutex
	deadline time.Time // that holds; zero for none
	told     time.Time // that nc has
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
	for late := false; ; late = true {
		if err := r.begin(late); err != nil {
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
func (r *reader) begin(late bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading = true
	if late || r.early(r.deadline) {
		return r.tell()
	}
	return nil
}

// end says whether a read must go on, since nc had an older deadline.
func (r *reader) end(err error) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading = false
	return err != nil && errors.Is(err, os.ErrDeadlineExceeded) && !past(r.deadline)
}

// early says whether a deadline comes before what nc has. Callers hold mu.
func (r *reader) early(t time.Time) bool {
	return !t.IsZero() && (r.told.IsZero() || t.Before(r.told))
}

// tell gives nc the deadline. Callers hold mu.
func (r *reader) tell() error {
	r.told = r.deadline
	return r.nc.SetReadDeadline(r.told)
}

// SetReadDeadline is net.Conn's.
func (r *reader) SetReadDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline = t
	switch {
	case r.waiting && past(t):
		r.waiting = false
		r.over <- struct{}{} // has room: who waits takes it before the next wait
	case r.reading && r.early(t):
		return r.tell()
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
