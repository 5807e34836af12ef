package fastcgi

import (
	"net"
	"time"
)

// awaitHangup waits, after the end of the web server's stream, until it has
// closed the connection altogether. A unix socket tells the two apart. At TCP
// only a reset does, which a web server that has closed sends in answer to an
// empty STDERR record; one that waits ignores it (section 6.1 allows one).
func (c *conn) awaitHangup() {
	if c.vec.raw == nil {
		return
	}
	if _, ok := c.nc.(*net.TCPConn); ok {
		c.probe()
	}
	_ = c.nc.SetReadDeadline(time.Time{})
	_ = c.vec.raw.Read(hungUp)
}

// probe ends the STDERR of a running request.
func (c *conn) probe() {
	c.mu.Lock()
	var r *Request
	for _, candidate := range c.requests {
		if candidate.started {
			r = candidate
		}
	}
	c.mu.Unlock()
	if r != nil {
		r.out.endStderr()
	}
}
