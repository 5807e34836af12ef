package sockio

import (
	"testing"
	"time"
)

func TestUntilTick(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct{ now, least, pace, want time.Duration }{
		{0, 0, 10 * ms, 0},
		{1, 0, 10 * ms, 10*ms - 1},
		{0, 10 * ms, 10 * ms, 10 * ms},
		{1, 10 * ms, 10 * ms, 20*ms - 1},
		{9 * ms, 10 * ms, 10 * ms, 11 * ms},
		{2 * ms, 2500 * time.Microsecond, 5 * ms, 3 * ms},
		{3 * ms, 2500 * time.Microsecond, 5 * ms, 7 * ms},
	} {
		if got := untilTick(time.Unix(1000, int64(c.now)), c.least, c.pace); got != c.want {
			t.Errorf("at %v at least %v by %v: %v, want %v", c.now, c.least, c.pace, got, c.want)
		}
	}
}
