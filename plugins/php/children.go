package php

import (
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/sdk/process"
)

// children watches the children of a php-cgi parent. It ends one only when it
// is told to retire it. When too many end by themselves it stops the parent
// (SIGSTOP) for a while, so that it forks no others; those alive serve on.
type children struct {
	log    *slog.Logger
	group  process.Group // the parent leads it
	parent int
	signal func(syscall.Signal) error // to the parent
	over   <-chan struct{}            // closed when the parent has ended
	size   int
	ledger ledger
	full   chan struct{} // closed when all children exist for the first time
	// health says why the tree is ill, and by "" that it is well again. Whoever
	// does not take it misses nothing that matters to others.
	health    chan string
	storm     chan struct{} // more deaths than a start can have
	emergency chan struct{} // the tree is to be replaced
	serving   atomic.Bool   // the parent may be held back
	deaths    chan death
	quit      chan struct{} // closed by stop
	done      sync.WaitGroup

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

// watchChildren watches the children of p until stop.
func watchChildren(log *slog.Logger, p *process.Process, size int, window time.Duration, e emergency) *children {
	c := &children{
		log: log, group: p.Group(), parent: p.PID(), signal: p.Signal, over: p.Done(), size: size, known: map[int]*child{},
		ledger: ledger{window: window, emergency: e, size: size},
		full:   make(chan struct{}), health: make(chan string, 4), storm: make(chan struct{}, 1), emergency: make(chan struct{}, 1),
		deaths: make(chan death), quit: make(chan struct{}),
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
// is missing, most often at the start, for which requests may wait, and now and
// then, for kernels without pidfds, when none is.
func (c *children) run() {
	const soonest, latest, idle = 2 * time.Millisecond, 200 * time.Millisecond, 5 * time.Second
	var (
		pause = soonest
		most  = 4 * soonest
		full  = c.full
		over  = c.over
		scan  = time.NewTimer(0)
		calm  = time.NewTimer(time.Hour) // since the last death
		hold  = time.NewTimer(time.Hour) // until the parent may fork again
	)
	calm.Stop()
	hold.Stop()
	defer func() {
		scan.Stop()
		calm.Stop()
		if hold.Stop() {
			_ = c.signal(syscall.SIGCONT)
		}
	}()
	held := false
	died := func(d death) {
		e, counts := c.died(d)
		if !counts {
			return
		}
		if c.ledger.ill {
			calm.Reset(c.ledger.window)
		}
		if e.hold > 0 && !held && c.serving.Load() {
			held = true
			hold.Reset(e.hold)
			_ = c.signal(syscall.SIGSTOP)
		}
	}
	for {
		select {
		case <-c.quit:
			return
		case <-over:
			over = nil
			scan.Stop() // there will be no new ones
			c.adoptOrphans()
		case <-calm.C:
			c.ledger.well()
			notify(c.health, "")
		case <-hold.C:
			held = false
			_ = c.signal(syscall.SIGCONT)
			pause = soonest
			scan.Reset(pause)
		case d := <-c.deaths:
			died(d)
			if over != nil {
				pause = soonest
				scan.Reset(pause)
			}
		case <-scan.C:
			now := childrenOf(c.parent)
			for _, k := range c.adopt(now) {
				died(death{child: k})
			}
			if len(now) < c.size {
				pause = min(2*pause, most)
				scan.Reset(pause)
				continue
			}
			if full != nil {
				close(full)
				full, most = nil, latest
			}
			pause = soonest
			scan.Reset(idle)
		}
	}
}

// notify sends what nobody waits for.
func notify[T any](to chan<- T, what T) {
	select {
	case to <- what:
	default:
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
	preferForOOM(pid, c.parent)
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

// died forgets a child and tells of its end. counts is false for one that was
// asked for.
func (c *children) died(d death) (e entry, counts bool) {
	c.mu.Lock()
	if c.known[d.child.pid] == d.child {
		delete(c.known, d.child.pid)
	}
	left, retired := len(c.known), d.child.retired
	c.mu.Unlock()
	d.child.close()
	if retired != "" {
		c.log.Debug("php-cgi child retired", "reason", retired, "pid", d.child.pid, "parent", c.parent)
		return e, false
	}
	select {
	case <-c.over: // the parent's end is what is told then
		return e, false
	default:
	}
	c.log.Warn("php-cgi child "+d.how.String()+"; its request, if it had one, failed, and php-cgi starts another child",
		"pid", d.child.pid, "parent", c.parent, "children_left", left, "children", c.size)
	e = c.ledger.enter(time.Now(), d.how.crash())
	if e.ill != "" {
		notify(c.health, e.ill)
	}
	if e.storm {
		notify(c.storm, struct{}{})
	}
	if e.emergency {
		notify(c.emergency, struct{}{})
	}
	return e, true
}

// oomMore is how much likelier than its parent a child is to be killed when
// memory runs out: it costs one request, where the others cost the pool.
const oomMore = 500

// preferForOOM sets that, where it may.
func preferForOOM(pid, parent int) {
	b, err := os.ReadFile(procPath(parent, "oom_score_adj"))
	if err != nil {
		return
	}
	own, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return
	}
	f, err := os.OpenFile(procPath(pid, "oom_score_adj"), os.O_WRONLY, 0)
	if err != nil {
		return
	}
	_, _ = f.WriteString(strconv.Itoa(min(own+oomMore, 1000)))
	_ = f.Close()
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
