package backend

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestPoolWatchesWhatIsDialled: a dial may last longer than the watch waits for news,
// and the request after it is to have its deadline.
func TestPoolWatchesWhatIsDialled(t *testing.T) {
	p := testPool(1, time.Minute)
	defer stopPool(t, p)
	lend(p, new(atomic.Int32), endpoint(t, 1))
	c := &call{r: httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), arrived: time.Now()}
	g, w, err := p.take(c)
	if err != nil || w != nil {
		t.Fatal(w, err)
	}
	for range 3 {
		p.tick()
	}
	p.mu.Lock()
	armed := p.watch.next
	p.mu.Unlock()
	if armed != tickFast {
		t.Errorf("the watch is armed to %v", armed)
	}
	p.giveUp(g.set, g.at)
}
