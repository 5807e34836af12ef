package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// atGate is the process that runs the script waiting at a gate.
func (s *server) atGate(t *testing.T, gate string) proc {
	t.Helper()
	poll(t, 10*time.Second, "a script waits at gate "+gate, func() bool { return exists(s.data(gate + ".pid")) })
	text, err := os.ReadFile(s.data(gate + ".pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	p, ok := readProc(pid)
	if !ok {
		t.Fatalf("process %d has gone", pid)
	}
	return p
}

// later sends a GET in the background.
func later(c *http.Client, url string) func() (answer, error) {
	type result struct {
		answer
		err error
	}
	done := make(chan result, 1)
	go func() {
		a, err := do(c, "GET", url, nil)
		done <- result{a, err}
	}()
	return func() (answer, error) {
		r := <-done
		return r.answer, r.err
	}
}

// load sends requests on several connections until stopped, and counts.
type load struct {
	served, failed atomic.Int64
	first          atomic.Value // of string: the first failure
	stop           chan struct{}
	clients        sync.WaitGroup
}

func startLoad(t *testing.T, clients int, urls ...string) *load {
	t.Helper()
	l := &load{stop: make(chan struct{})}
	c := newClient(t)
	for i := range clients {
		l.clients.Go(func() {
			for n := i; ; n++ {
				select {
				case <-l.stop:
					return
				default:
				}
				url := urls[n%len(urls)]
				a, err := do(c, "GET", url, nil)
				if err != nil || a.StatusCode != 200 {
					l.failed.Add(1)
					l.first.CompareAndSwap(nil, fmt.Sprintf("%s: %v %v %.100q", url, err, a.Response, a.body))
				}
				l.served.Add(1)
			}
		})
	}
	return l
}

// more waits until n more requests have been answered.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	from := l.served.Load()
	poll(t, 20*time.Second, fmt.Sprintf("%d more requests answered", n), func() bool { return l.served.Load() >= from+n })
}

// end stops the load and asserts that no request failed.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.clients.Wait()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", n, l.served.Load(), l.first.Load())
	}
}

// urls of one path at every front.
func urls(fronts []front, path string) []string {
	var all []string
	for _, f := range fronts {
		all = append(all, f.url(path))
	}
	return all
}
