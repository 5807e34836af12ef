package backend

import (
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
)

// lookedFor is for how long after a look at a pool's processes the processor time of
// each request is measured: system calls that are spared while nobody looks.
const lookedFor = 2 * time.Minute

// looked is what tells the processor time of a connection's last request: what its
// process has used from the beginning to the end of it. What PHP tidies up afterwards
// belongs to none, unless the next request comes meanwhile.
type looked struct {
	pid   int           // of the process, 0 when nobody has looked lately
	until time.Time     // it is measured
	start time.Duration // the process's time when the request began, 0 when it is not known
}

// begun is called at the beginning of a request.
func (l *looked) begun() {
	if l.pid != 0 {
		l.start = process.CPUTime(l.pid)
	}
}

// ended is called at the end of a request, and returns its processor time; 0 when it is
// not known.
func (l *looked) ended(now time.Time) (used time.Duration) {
	if l.pid != 0 && l.start > 0 {
		used = max(process.CPUTime(l.pid)-l.start, 0)
	}
	if l.start = 0; now.After(l.until) {
		l.pid = 0
	}
	return used
}

// look begins to measure, from what a plugin has just told of processes. Those that
// serve several connections at once are left out. Callers hold mu.
func (p *pool) look(told map[sdk.Connection]*api.ProcessStatus) {
	serves := map[int]int{}
	for _, known := range told {
		serves[known.PID]++
	}
	until := time.Now().Add(lookedFor)
	see := func(c *poolConn) {
		known := told[c.inode]
		if known == nil || known.PID == 0 || serves[known.PID] > 1 {
			return
		}
		if c.looked.pid != known.PID {
			c.looked = looked{pid: known.PID}
		}
		c.looked.until = until
	}
	for _, c := range p.busy {
		see(c)
	}
	if p.set != nil {
		for _, c := range p.set.idle {
			see(c)
		}
	}
}
