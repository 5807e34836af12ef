package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Of 200 requests at once on 4 processes, with room for 50 in the queue, each is
// either served, or told at once or after queue.wait that it is not; the server
// counts what the clients see.
func TestOverloadIsTold(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{
		files: appPool("max_workers: 4, start_workers: 4, queue: {length: 50, wait: 2s}"),
		sets:  []string{`admin.listen=["unix:admin.sock"]`},
	})
	c := newClient(t)
	var served, told, odd atomic.Int64
	var longest atomic.Int64
	var clients sync.WaitGroup
	for range 200 {
		clients.Go(func() {
			begun := time.Now()
			a, err := do(c, "GET", "http://"+s.http+"/sleep.php?ms=1000", nil)
			switch {
			case err == nil && a.StatusCode == http.StatusOK:
				served.Add(1)
			case err == nil && a.StatusCode == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "":
				told.Add(1)
				if took := int64(time.Since(begun)); took > longest.Load() {
					longest.Store(took)
				}
			default:
				odd.Add(1)
			}
		})
	}
	clients.Wait()
	t.Logf("%d served, %d told, the last after %v", served.Load(), told.Load(), time.Duration(longest.Load()))
	if odd.Load() > 0 || served.Load() < 4 || served.Load() > 16 || time.Duration(longest.Load()) > 15*time.Second {
		t.Errorf("%d served, %d told, %d otherwise; the longest wait %v", served.Load(), told.Load(), odd.Load(), time.Duration(longest.Load()))
	}
	m := s.metrics(t)
	count := func(outcome string) int64 {
		return m[fmt.Sprintf(`tqserver_worker_requests_total{outcome=%q,worker="app"}`, outcome)]
	}
	if count("done") != served.Load() || count("refused")+count("expired") != told.Load() || count("expired") < 1 {
		t.Errorf("the server counts %d done, %d refused, %d expired", count("done"), count("refused"), count("expired"))
	}
}

// Requests that come in the moment in which their process would be ended are
// served all the same, whichever manager ends it.
func TestScalingDownLosesNoRequest(t *testing.T) {
	t.Parallel()
	needPHP(t)
	for manager, rounds := range map[string]int{"dynamic": 120, "ondemand": 40} {
		t.Run(manager, func(t *testing.T) {
			t.Parallel()
			s := start(t, options{files: appPool("max_workers: 8, min_workers: 0, start_workers: 0, idle_timeout: 60ms, queue: {length: 100, wait: 30s}, manager: " + manager)})
			c := newClient(t)
			var clients sync.WaitGroup
			for range 6 {
				clients.Go(func() {
					for n := range rounds {
						a, err := do(c, "GET", "http://"+s.http+"/answer.php?body=x", nil)
						if err != nil || a.StatusCode != 200 || a.body != "x" {
							t.Errorf("request %d: %v %v", n, err, a.Response)
							return
						}
						pause := time.NewTimer(rand.N(100 * time.Millisecond))
						<-pause.C
					}
				})
			}
			clients.Wait()
			poll(t, 10*time.Second, "all processes have been ended", func() bool { return s.status(t).Total == 0 })
		})
	}
}
