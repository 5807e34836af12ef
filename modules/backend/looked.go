package backend

import (
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
)

// lookedFor is for how long after a look at a pool's processes the processor time of
// each request is measured: a system call that is spared while nobody looks.
const lookedFor = 2 * time.Minute

// looked is what tells the processor time of a connection's last request: that of its
// process, which has used none between two requests.
type looked struct {
	pid   int           // of the process, 0 when nobody has looked lately
	until time.Time     // it is measured
	total time.Duration // when the last request had ended, 0 when that is not known
}

// ended is called at the end of a request, and returns its processor time; 0 when it is
// not known.
func (l *looked) ended(now time.Time) (used time.Duration) {
	if l.pid == 0 {
		return 0
	}
	if now.After(l.until) {
		*l = looked{}
		return 0
	}
	before := l.total
	if l.total = process.CPUTime(l.pid); before > 0 && l.total > before {
		return l.total - before
	}
	return 0
}

// look begins to measure, from what a plugin has just told of processes. Callers hold mu.
func (p *pool) look(told map[sdk.Connection]*api.ProcessStatus) {
	until := time.Now().Add(lookedFor)
	see := func(c *poolConn) {
		known := told[c.inode]
		if known == nil || known.PID == 0 {
			return
		}
		if c.looked.pid != known.PID {
			c.looked = looked{pid: known.PID}
		}
		c.looked.until = until
		if c.place < 0 && c.looked.total == 0 {
			c.looked.total = process.CPUTime(known.PID)
		}
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
