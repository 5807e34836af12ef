package pluginhost

import (
	"math/rand/v2"
	"time"
)

// backoff is the pause before a restart: it doubles, with jitter so that many
// plugins that died of one cause do not start as one, and begins anew after a
// process that ran well for a while.
type backoff struct {
	timing timing
	pause  time.Duration
}

func newBackoff(t timing) *backoff { return &backoff{timing: t, pause: t.backoff} }

// next returns the pause after a process that ran for that long: three
// quarters to all of the nominal one.
func (b *backoff) next(ran time.Duration) time.Duration {
	if ran >= b.timing.healthy {
		b.pause = b.timing.backoff
	}
	pause := b.pause
	b.pause = min(2*b.pause, b.timing.backoffMost)
	return pause - rand.N(pause/4+1) //nolint:gosec // spreading, not secrecy
}
