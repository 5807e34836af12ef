package php

import (
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/sdk/process"
)

// What too many deaths of children are, in a window of deathWindow: php-cgi
// forks a new child at once, without any back-off.
const (
	deathWindow   = 10 * time.Second
	manyDeaths    = 10 // reported
	tooManyDeaths = 50 // the tree is stopped
)

// children watches the children of a php-cgi parent. It ends one only when it
// is told to retire it.
type children struct {
	log    *slog.Logger
	group  process.Group // the parent leads it
	parent int
	over   <-chan struct{} // closed when the parent has ended
	size   int
	full   chan struct{} // closed when all children exist for the first time
	crash  chan int      // deaths in the window, when they pass a bound
	deaths chan death
	quit   chan struct{} // closed by stop
	done   sync.WaitGroup

	mu      sync.Mutex
	known   map[int]*child // alive, as far as we know
	stopped bool
}

// child is one php-cgi child.
type child struct {
	pid   int
	start uint64 // see process.Stat
	fd    *pidfd // nil on kernels without pidfds
	// retired says why we told it to die.
	retired string
}

// death is the end of one child.
type death struct {
	child *child
	how   ending
}

// watchChildren watches until stop; over tells that the parent ended.
func watchChildren(log *slog.Logger, group process.Group, over <-chan struct{}, size int) *children {
	c := &children{
		log: log, group: group, parent: group.ID, over: over, size: size, known: map[int]*child{},
		full: make(chan struct{}), crash: make(chan int, 1), deaths: make(chan death), quit: make(chan struct{}),
	}
	c.done.Go(c.run)
	return c
}

// stop ends the watch and waits for its goroutines. Once.
func (c *children) stop() {
	c.mu.Lock()
	c.stopped = true
	close(c.quit)
	for _, k := range c.known {
		k.close()
	}
	c.mu.Unlock()
	c.done.Wait()
}

// run keeps a pidfd for every child. Scans find new children: often while one
// is missing, and now and then, for kernels without pidfds, when none is.
func (c *children) run() {
	const soonest, latest, idle = 2 * time.Millisecond, 200 * time.Millisecond, 5 * time.Second
	var (
		recent []time.Time
		pause  = soonest
		full   = c.full
		over   = c.over
		timer  = time.NewTimer(0)
	)
	defer timer.Stop()
	for {
		select {
		case <-c.quit:
			return
		case <-over:
			over = nil
			timer.Stop() // there will be no new ones
			c.adoptOrphans()
		case d := <-c.deaths:
			recent = c.died(d, recent)
			if over != nil {
				pause = soonest
				timer.Reset(pause)
			}
		case <-timer.C:
			now := childrenOf(c.parent)
			for _, k := range c.adopt(now) {
				recent = c.died(death{child: k}, recent)
			}
			if len(now) < c.size {
				pause = min(2*pause, latest)
				timer.Reset(pause)
				continue
			}
			if full != nil {
				close(full)
				full = nil
			}
			pause = soonest
			timer.Reset(idle)
		}
	}
}

// adopt makes the children known that are there now, and returns those that
// only their absence tells to be dead.
func (c *children) adopt(now map[int]process.Stat) (gone []*child) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid, s := range now {
		c.know(pid, s.Start)
	}
	for pid, k := range c.known {
		if s, there := now[pid]; k.fd == nil && (!there || s.Start != k.start) {
			gone = append(gone, k)
		}
	}
	return gone
}

// know returns what is known of a child, which is watched from now on at the
// latest. Callers hold mu.
func (c *children) know(pid int, start uint64) *child {
	if k := c.known[pid]; k != nil {
		return k
	}
	k := &child{pid: pid, start: start}
	c.known[pid] = k
	if c.stopped {
		return k
	}
	fd, err := openPidfd(pid)
	if err != nil {
		return k
	}
	k.fd = fd
	c.done.Go(func() {
		how, ok := fd.wait()
		if !ok {
			return
		}
		select {
		case c.deaths <- death{child: k, how: how}:
		case <-c.quit:
		}
	})
	return k
}

// died forgets a child, tells of its end, and returns the recent ones of those
// that nobody asked for.
func (c *children) died(d death, recent []time.Time) []time.Time {
	c.mu.Lock()
	if c.known[d.child.pid] == d.child {
		delete(c.known, d.child.pid)
	}
	left, retired := len(c.known), d.child.retired
	c.mu.Unlock()
	d.child.close()
	if retired != "" {
		c.log.Debug("php-cgi child retired", "reason", retired, "pid", d.child.pid, "parent", c.parent)
		return recent
	}
	select {
	case <-c.over: // the parent's end is what is told then
		return recent
	default:
	}
	recent = append(slices.DeleteFunc(recent, func(t time.Time) bool { return time.Since(t) > deathWindow }), time.Now())
	c.log.Warn("php-cgi child "+d.how.String()+"; its request, if it had one, failed, and php-cgi starts another child",
		"pid", d.child.pid, "parent", c.parent, "children_left", left, "children", c.size)
	if n := len(recent); n == manyDeaths || n >= tooManyDeaths {
		select {
		case c.crash <- n:
		default: // the last one has not been taken yet
		}
	}
	return recent
}

// adoptOrphans makes those children known that the parent forked at the last
// moment: of its group, without a parent there, and php-cgi as the others are.
func (c *children) adoptOrphans() {
	c.mu.Lock()
	defer c.mu.Unlock()
	program := ""
	for pid := range c.known {
		if program, _ = os.Readlink(procPath(pid, "exe")); program != "" {
			break
		}
	}
	members := c.group.Members()
	for _, pid := range members {
		s, err := process.ReadStat(pid)
		if err != nil || program == "" || slices.Contains(members, s.Parent) {
			continue
		}
		if exe, err := os.Readlink(procPath(pid, "exe")); err == nil && exe == program {
			c.know(pid, s.Start)
		}
	}
}

func (k *child) close() {
	if k.fd != nil {
		k.fd.close()
	}
}

// list returns the pids of all children: those known, which the parent's death
// does not change, and those the watch has not found yet.
func (c *children) list() []int {
	var pids []int
	for pid := range childrenOf(c.parent) {
		pids = append(pids, pid)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid := range c.known {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}
