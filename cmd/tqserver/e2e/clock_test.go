package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The machine's clock jumps, both ways: nothing that runs or waits is ended by that,
// and nothing is kept for hours. Only in a virtual machine that is there for it:
//
//	TQ_CLOCK=set go test -run TestClockJumps ./cmd/tqserver/e2e
func TestClockJumps(t *testing.T) {
	if os.Getenv("TQ_CLOCK") != "set" {
		t.Skip("sets the machine's clock: TQ_CLOCK=set allows it")
	}
	needPHP(t)
	s := start(t, options{files: appPool("max_workers: 2, min_workers: 1, idle_timeout: 3s, request_timeout: 20s, queue: {length: 10, wait: 20s}")})
	fronts := s.fronts(t)
	jump := func(by time.Duration) {
		to := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
		if err := unix.Settimeofday(&to); err != nil {
			t.Fatal(err)
		}
	}
	for n, by := range []time.Duration{time.Hour, -2 * time.Hour, 48 * time.Hour, -47 * time.Hour} {
		var waits []func() (answer, error)
		for i, f := range fronts[:2] { // by usleep: the gate looks at the clock
			mark := fmt.Sprintf("%s%d%d", unique(t), i, n)
			waits = append(waits, later(newClient(t), f.url("/spin.php?how=sleep&ms=8000&mark="+mark)))
			poll(t, 10*time.Second, "it runs", func() bool { return exists(s.data(mark + ".run")) })
		}
		for _, f := range fronts {
			waits = append(waits, later(newClient(t), f.url("/answer.php"))) // in the queue
		}
		poll(t, 10*time.Second, "they wait", func() bool { return s.status(t).Queue == len(fronts) })
		php := s.onePHP(t)
		jump(by)
		// Long enough for every deadline that would take the jump for time.
		<-time.After(time.Second)
		if p := s.status(t); p.Active != 2 || p.Queue != len(fronts) {
			t.Errorf("after %v: %+v", by, p)
		}
		for _, wait := range waits {
			if a, err := wait(); err != nil || a.StatusCode != 200 {
				t.Errorf("after %v: %v %v %.100q", by, err, a.Response, a.body)
			}
		}
		if now := s.onePHP(t); now.parent.pid != php.parent.pid {
			t.Errorf("after %v there is another php-cgi", by)
		}
		poll(t, 15*time.Second, "the one too many ends", func() bool { return s.status(t).Total == 1 })
	}
}
