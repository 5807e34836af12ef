// Package quiet waits until something that changes has been left alone: an editor
// writes more than one file, a deployment more than one key.
package quiet

import "time"

// Timer fires when what it is told of has been left alone for a while, but does not
// put that off for ever. One goroutine uses it, as a time.Timer.
type Timer struct {
	// C gets the time when it fires. Whoever has received it calls Begin for the
	// next changes to be counted anew.
	C <-chan time.Time

	timer      *time.Timer
	rest, most time.Duration
	first      time.Time // change since Begin; zero for none
}

// New returns a Timer that fires rest after the last change, not later than most after
// the first one. It begins as after a change: what came before nobody has told.
func New(rest, most time.Duration) *Timer {
	t := &Timer{timer: time.NewTimer(rest), rest: rest, most: most}
	t.C = t.timer.C
	return t
}

// Changed says that something has changed.
func (t *Timer) Changed() {
	if t.first.IsZero() {
		t.first = time.Now()
	}
	t.timer.Reset(max(0, min(t.rest, t.most-time.Since(t.first))))
}

// Again has it fire after another rest.
func (t *Timer) Again() { t.timer.Reset(t.rest) }

// Early says whether something has changed, and not so long ago that it may not be
// waited for any more.
func (t *Timer) Early() bool { return !t.first.IsZero() && time.Since(t.first) < t.most }

// Begin forgets the changes so far.
func (t *Timer) Begin() { t.first = time.Time{} }

// Stop stops it.
func (t *Timer) Stop() { t.timer.Stop() }
