package load

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Crowd is a number of clients with a kept connection each, that check every
// answer. Unlike wrk it also counts the requests that were not answered by the
// end, with the time they have waited so far: a server that serves some
// clients and lets the others starve does not look fast by that.
type Crowd struct {
	URL      string
	Request  Request
	Clients  int
	Duration time.Duration
}

// answered is one request of a crowd.
type answered struct {
	took time.Duration
	err  error
	cut  bool // the end came first
}

// Run lets the crowd in, and returns when all clients have left. The first
// error, if there was one, is returned beside the result.
func (c Crowd) Run(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	client := NewClient()
	defer client.CloseIdleConnections()
	var (
		mu    sync.Mutex
		all   []answered
		group sync.WaitGroup
	)
	begin := time.Now()
	for range c.Clients {
		group.Go(func() {
			var mine []answered
			for ctx.Err() == nil {
				from := time.Now()
				_, err := c.Request.Once(ctx, client, c.URL)
				mine = append(mine, answered{time.Since(from), err, err != nil && ctx.Err() != nil})
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	group.Wait()
	return summarize(all, time.Since(begin))
}

func summarize(all []answered, elapsed time.Duration) (Result, error) {
	r := Result{Errors: map[string]int{}, Elapsed: elapsed}
	var first error
	times := make([]time.Duration, 0, len(all))
	for _, a := range all {
		switch {
		case a.err == nil:
			r.Good++
			r.Requests++
		case a.cut: // waited in vain, which is no error of the server's yet
		default:
			r.Requests++
			r.Errors[kind(a.err)]++
			if first == nil {
				first = a.err
			}
		}
		times = append(times, a.took)
	}
	slices.Sort(times)
	r.P50, r.P99 = percentile(times, 50), percentile(times, 99)
	if len(times) > 0 {
		r.Max = times[len(times)-1]
	}
	return r, first
}

// percentile of sorted times: the smallest that p percent do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}
