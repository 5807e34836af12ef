package front

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// Requests counts what a generation still has to answer, so that its workers are
// let go after its last request. A door that leads to the generation counts as
// well.
type Requests struct {
	n    atomic.Int64 // one is the generation's own, until Close
	once sync.Once
	done chan struct{}
}

// NewRequests returns the count of a new generation.
func NewRequests() *Requests {
	r := &Requests{done: make(chan struct{})}
	r.n.Store(1)
	return r
}

// Running is how many there are.
func (r *Requests) Running() int64 { return r.n.Load() }

// Close says that no door will be led here any more. It is called once.
func (r *Requests) Close() { r.leave() }

// Done is closed after Close, when nothing is left.
func (r *Requests) Done() <-chan struct{} { return r.done }

func (r *Requests) enter() { r.n.Add(1) }

// leave may bring the count to zero more than once: who came just after the
// last one had left goes elsewhere, see handler.enter.
func (r *Requests) leave() {
	if r.n.Add(-1) == 0 {
		r.once.Do(func() { close(r.done) })
	}
}

// target is where a door leads.
type target struct {
	http.Handler
	requests *Requests
}

// handler leads to the target of now. It costs a request two atomic additions.
type handler struct{ now atomic.Pointer[target] }

// lead sends every next request to t.
func (h *handler) lead(t *target) {
	t.requests.enter()
	if before := h.now.Swap(t); before != nil {
		before.requests.leave()
	}
}

// enter returns the target of now, counted: its generation is not let go before
// the caller leaves.
func (h *handler) enter() *target {
	for {
		t := h.now.Load()
		t.requests.enter()
		if h.now.Load() == t {
			// The door itself counted for t just now, so it was not let go.
			return t
		}
		t.requests.leave()
	}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := h.enter()
	if asksUpgrade(r) {
		t.serveUpgradable(w, r)
		return
	}
	defer t.requests.leave()
	t.ServeHTTP(w, r)
}
