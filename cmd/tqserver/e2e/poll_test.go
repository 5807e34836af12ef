package e2e

import (
	"testing"
	"time"
)

// patience is how many times as long as on a quiet machine anything may take: all
// tests of all packages run at once, under the race detector, on two processors.
const patience = 5

// poll waits until ok says yes and fails the test after the given time, which is
// that of a quiet machine.
func poll(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	if within *= patience; !becomes(within, ok) {
		t.Fatalf("not within %v: %s", within, what)
	}
}

// becomes waits until ok says yes, or says that it never did.
func becomes(within time.Duration, ok func() bool) bool {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			return ok()
		case <-tick.C:
		}
	}
	return true
}
