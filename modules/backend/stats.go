package backend

import (
	"sync/atomic"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// outcome is how a request ended; each accepted one has exactly one.
type outcome int

const (
	outcomeDone outcome = iota
	outcomeRefused
	outcomeExpired
	outcomeLeft
	outcomeAborted
	outcomeTimedOut
	outcomeCrashed
	outcomeFailed
	outcomes
)

// stats are what a pool counts. The pool's lock guards all but the atomics.
type stats struct {
	began                           time.Time
	last                            time.Time // when the last request was accepted
	accepted, slow, limit, restarts uint64
	activeMost, queuedMost          int
	peakMemory                      int64
	retired                         map[string]uint64
	queueWait, duration             histogram

	ended    [outcomes]atomic.Uint64
	replayed atomic.Uint64
}

func newStats() stats {
	return stats{began: time.Now(), last: time.Now(), retired: map[string]uint64{}}
}

func (s *stats) accept(now time.Time) {
	s.accepted++
	s.last = now
}

// waits counts a request that joined the queue, as the length-th; because all
// processes were busy, or because there was none.
func (s *stats) waits(length int, busy bool) {
	s.queuedMost = max(s.queuedMost, length)
	if busy && length == 1 {
		s.limit++
	}
}

// histogramSteps is how many upper bounds a histogram has.
const histogramSteps = 15

// histogramBounds are from what a small answer takes to the longest usual
// request_timeout.
func histogramBounds() [histogramSteps]time.Duration {
	const ms = time.Millisecond
	return [histogramSteps]time.Duration{
		ms / 2, ms, 5 * ms / 2, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms, 250 * ms, 500 * ms,
		time.Second, 5 * time.Second / 2, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	}
}

// histogram counts durations. Its zero value is ready.
type histogram struct {
	counts [histogramSteps + 1]uint64
	sum    time.Duration
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for _, bound := range histogramBounds() {
		if d <= bound {
			break
		}
		i++
	}
	h.counts[i]++
	h.sum += d
}

func (h *histogram) snapshot() api.Histogram {
	s := api.Histogram{Counts: append([]uint64{}, h.counts[:]...), Sum: h.sum.Seconds()}
	for _, bound := range histogramBounds() {
		s.Bounds = append(s.Bounds, bound.Seconds())
	}
	return s
}
