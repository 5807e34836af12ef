package life

import (
	"testing"
	"time"
)

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	if Backoff(0) != 0 || Backoff(1) != 0 {
		t.Error("the first restart waits")
	}
	for n := 2; n < 100; n++ {
		most := min(firstWait<<min(n-2, 20), lastWait)
		if got := Backoff(n); got < most/2 || got > most || got > 10*time.Second {
			t.Errorf("Backoff(%d) = %s", n, got)
		}
	}
}
