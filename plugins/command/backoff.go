package command

import (
	"math/rand/v2"
	"time"
)

// The waits between starts that fail: nothing before the first, then 100 ms,
// doubled up to 10 s, each up to half shorter by chance. A process that serves
// longer than settled was no failure. After loopAfter in a row it is a crash loop.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 10 * time.Second
	settled   = time.Minute
	loopAfter = 3
)

// backoff returns the wait before the start after the n-th failure in a row.
func backoff(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	wait := min(firstWait<<min(n-2, 20), lastWait)
	return wait - rand.N(wait/2) //nolint:gosec // G404: no secret
}
