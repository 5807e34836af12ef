package e2e

import (
	"testing"
	"time"
)

// poll waits until ok says yes and fails the test after the given time.
func poll(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	if !becomes(within, ok) {
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
