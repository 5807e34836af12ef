package life

import (
	"math/rand/v2"
	"time"
)

// Settled is how long a process has to live to have been no failure.
const Settled = time.Minute

// The waits between starts that fail: nothing before the first, then 100 ms,
// doubled up to 10 s, each up to half shorter by chance.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 10 * time.Second
)

// Backoff returns the wait before the start after the n-th failure in a row.
func Backoff(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	wait := min(firstWait<<min(n-2, 20), lastWait)
	return wait - rand.N(wait/2) //nolint:gosec // G404: no secret
}
