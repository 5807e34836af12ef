package listen

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descriptors keeps connections from taking the last file descriptors: requests
// need some to be answered, for scripts, temporary files and processes.
type descriptors struct {
	limit int // RLIMIT_NOFILE
	most  int // the first number that is kept for requests; 0 means no bound
}

// Bounds of how many descriptors are kept; between them, a quarter of all.
const (
	leastKept = 16
	mostKept  = 1024
)

// descriptorPoll is how often free ones are looked for.
const descriptorPoll = 20 * time.Millisecond

func newDescriptors() descriptors {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<30 {
		return descriptors{}
	}
	n := int(limit.Cur)
	return descriptors{n, max(n/2, n-min(max(n/4, leastKept), mostKept))}
}

// short says whether conn has one of the last: the kernel gives the lowest that is
// free.
func (d descriptors) short(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok || d.most == 0 {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	number := 0
	_ = raw.Control(func(fd uintptr) { number = int(fd) })
	return number >= d.most
}

// free says whether there is one again.
func (d descriptors) free() bool {
	f, err := os.Open("/") // any
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return int(f.Fd()) < d.most
}

// await waits until there are enough descriptors again, or until ending.
func (d descriptors) await(ending <-chan struct{}) {
	tick := time.NewTicker(descriptorPoll)
	defer tick.Stop()
	for !d.free() {
		select {
		case <-tick.C:
		case <-ending:
			return
		}
	}
}

func (d descriptors) Error() string {
	return fmt.Sprintf("%d file descriptors are in use, and those up to the limit of %d are kept for requests; raise it (ulimit -n, LimitNOFILE=), or lower max_connections", d.most, d.limit)
}
