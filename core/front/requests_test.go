package front

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// The count never lets a generation go that a request has entered.
func TestRequestsAreCountedWhileTargetsChange(t *testing.T) {
	var h handler
	type generation struct {
		*Requests
		over atomic.Bool
	}
	var lost atomic.Int64
	next := func() *generation {
		g := &generation{Requests: NewRequests()}
		h.lead(&target{http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if g.over.Load() {
				lost.Add(1)
			}
		}), g.Requests})
		return g
	}
	now := next()
	var clients sync.WaitGroup
	var stop atomic.Bool
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				h.ServeHTTP(nil, r)
			}
		})
	}
	for range 2000 {
		before := now
		now = next()
		before.Close()
		<-before.Done()
		before.over.Store(true)
	}
	stop.Store(true)
	clients.Wait()
	if n := lost.Load(); n > 0 {
		t.Errorf("%d requests in a generation that was let go", n)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	var h handler
	h.lead(&target{http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), NewRequests()})
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	if n := testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
