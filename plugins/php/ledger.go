package php

import (
	"fmt"
	"slices"
	"time"
)

// What too many deaths of children are, in a window of deathWindow: php-cgi
// forks a new child at once, without any back-off.
const (
	deathWindow   = 10 * time.Second
	manyDeaths    = 10 // the tree is ill, and held back
	tooManyDeaths = 50 // before it was ready: it will not become so
)

// The waits before a php-cgi that is ill may fork again: the first, doubled at
// each death after a wait, up to holdChild for each of its children, which is
// ten forks in a second, but not below or above the bounds. Requests that do not
// crash wait as well when no child is left.
const (
	holdFirst = 250 * time.Millisecond
	holdChild = 100 * time.Millisecond
	holdLeast = 500 * time.Millisecond
	holdMost  = 10 * time.Second
)

// emergency says when a tree is replaced for its crashes; crashes 0 is never.
type emergency struct {
	crashes int
	within  time.Duration
}

// ledger counts the deaths of children that nobody asked for.
type ledger struct {
	window    time.Duration
	emergency emergency
	size      int // children there should be

	deaths  []time.Time
	crashes []time.Time
	ill     bool
	held    time.Duration // the last wait, 0 before the first
}

// entry is what a death means.
type entry struct {
	ill       string        // the tree has become ill, and why
	storm     bool          // it will not become well by itself
	emergency bool          // it is to be replaced
	hold      time.Duration // php-cgi must not fork for so long
}

// enter notes a death.
func (l *ledger) enter(now time.Time, crash bool) (e entry) {
	l.deaths = since(append(l.deaths, now), now.Add(-l.window))
	if crash && l.emergency.crashes > 0 {
		l.crashes = since(append(l.crashes, now), now.Add(-l.emergency.within))
		if extra := len(l.crashes) - l.emergency.crashes; extra >= 0 {
			l.crashes = l.crashes[extra:] // no more need be known
			e.emergency = true
		}
	}
	e.storm = len(l.deaths) >= tooManyDeaths
	if extra := len(l.deaths) - tooManyDeaths; extra > 0 {
		l.deaths = l.deaths[extra:]
	}
	if len(l.deaths) < manyDeaths {
		return e
	}
	if !l.ill {
		l.ill = true
		e.ill = fmt.Sprintf("%d php-cgi children ended within %s: crashes, or requests that end the process; php-cgi may start others only now and then", len(l.deaths), l.window)
	}
	most := min(max(time.Duration(l.size)*holdChild, holdLeast), holdMost)
	l.held = min(max(2*l.held, holdFirst), most)
	e.hold = l.held
	return e
}

// well ends an illness: nothing has died for a window.
func (l *ledger) well() {
	l.deaths, l.ill, l.held = nil, false, 0
}

// since leaves out what was before then.
func since(times []time.Time, then time.Time) []time.Time {
	return slices.DeleteFunc(times, func(t time.Time) bool { return t.Before(then) })
}
