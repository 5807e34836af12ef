package php

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// What too many deaths of children are, in a window of deathWindow: php-cgi
// forks a new child at once, without any back-off.
const (
	deathWindow   = 10 * time.Second
	manyDeaths    = 10 // reported
	tooManyDeaths = 50 // the tree is stopped
)

// children watches the children of a php-cgi parent. It never ends any.
type children struct {
	log    *slog.Logger
	parent int
	size   int
	full   chan struct{} // closed when all children exist for the first time
	crash  chan int      // deaths in the window, when they pass a bound
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// death is the end of one child.
type death struct {
	pid int
	how ending
}

// watchChildren watches until stop; over tells that the parent ended.
func watchChildren(ctx context.Context, log *slog.Logger, parent int, over <-chan struct{}, size int) *children {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // ended by stop
	c := &children{
		log: log, parent: parent, size: size, cancel: cancel,
		full: make(chan struct{}), crash: make(chan int, 1),
	}
	c.done.Go(func() { c.run(ctx, over) })
	return c
}

// stop ends the watch and waits for its goroutines.
func (c *children) stop() {
	c.cancel()
	c.done.Wait()
}

// run keeps a pidfd for every child. Scans find new children: often while one
// is missing, and now and then, for kernels without pidfds, when none is.
func (c *children) run(ctx context.Context, over <-chan struct{}) {
	const soonest, latest, idle = 2 * time.Millisecond, 200 * time.Millisecond, 5 * time.Second
	var (
		known  = map[int]*pidfd{}
		deaths = make(chan death)
		recent []time.Time
		pause  = soonest
		full   = c.full
		timer  = time.NewTimer(0)
	)
	defer timer.Stop()
	defer func() {
		for _, fd := range known {
			if fd != nil {
				fd.close()
			}
		}
	}()
	died := func(d death) {
		if fd := known[d.pid]; fd != nil {
			fd.close()
		}
		delete(known, d.pid)
		select {
		case <-over: // the parent's end is what is told then
			return
		default:
		}
		recent = append(slices.DeleteFunc(recent, func(t time.Time) bool { return time.Since(t) > deathWindow }), time.Now())
		c.log.Warn("php-cgi child "+d.how.String()+"; its request, if it had one, failed, and php-cgi starts another child",
			"pid", d.pid, "parent", c.parent, "children_left", len(known), "children", c.size)
		if n := len(recent); n == manyDeaths || n >= tooManyDeaths {
			select {
			case c.crash <- n:
			default: // the last one has not been taken yet
			}
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-deaths:
			died(d)
			pause = soonest
			timer.Reset(pause)
		case <-timer.C:
			now := childrenOf(c.parent)
			for _, pid := range now {
				if _, ok := known[pid]; !ok {
					known[pid] = c.watch(ctx, pid, deaths)
				}
			}
			for pid, fd := range known {
				if fd == nil && !slices.Contains(now, pid) {
					died(death{pid: pid})
				}
			}
			switch {
			case len(now) < c.size:
				pause = min(2*pause, latest)
				timer.Reset(pause)
			default:
				if full != nil {
					close(full)
					full = nil
				}
				pause = soonest
				timer.Reset(idle)
			}
		}
	}
}

// watch reports the end of pid to deaths; nil means that only scans can tell.
func (c *children) watch(ctx context.Context, pid int, deaths chan<- death) *pidfd {
	fd, err := openPidfd(pid)
	if err != nil {
		return nil
	}
	c.done.Go(func() {
		how, ok := fd.wait()
		if !ok {
			return
		}
		select {
		case deaths <- death{pid: pid, how: how}:
		case <-ctx.Done():
		}
	})
	return fd
}
