package fastcgi

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/mevdschee/tqserver/sdk/sockio"
)

// readContent reads from the content of a record straight to p.
func (c *conn) readContent(p []byte) (int, error) {
	p = p[:min(len(p), c.remain)]
	n := copy(p, c.in[c.r:c.w])
	c.r += n
	c.remain -= n
	rest := p[n:]
	if len(rest) < directMin {
		if n == 0 {
			return 0, c.fill()
		}
		return n, nil
	}
	c.r, c.w = 0, 0
	var ahead []byte
	if len(rest) == c.remain {
		ahead = c.in[:c.padding+headerLen]
	}
	var got int
	var err error
	if n == 0 {
		if err = c.readDeadline(); err == nil {
			got, err = c.vec.read(rest, ahead)
		}
	} else {
		got, err = c.vec.tryRead(rest, ahead)
		if err != nil {
			// What is at hand counts; the error comes again.
			return n, nil
		}
	}
	d := min(got, len(rest))
	c.remain -= d
	c.w = got - d
	return n + d, c.deadlineError(err)
}

// fill reads into the buffer.
func (c *conn) fill() error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	} else if c.r > 0 {
		c.w = copy(c.in, c.in[c.r:c.w])
		c.r = 0
	}
	if err := c.readDeadline(); err != nil {
		return err
	}
	n, err := c.io.Read(c.in[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return c.deadlineError(err)
}

func (c *conn) deadlineError(err error) error {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kicked {
		return errKicked
	}
	if c.readIdle && c.readLimit > 0 && !c.lingering {
		// A process that was stopped for a while finds the time over and the
		// next request there.
		if n, peekErr := sockio.Peek(c.nc); peekErr == nil && n > 0 {
			c.readLimit = -1
			return nil
		}
	}
	return err
}

// readDeadline sets the deadline of the next read, or says why there is none.
// It is set anew only when it would be off by an eighth.
func (c *conn) readDeadline() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.kicked:
		return errKicked
	case c.failed != nil:
		return c.failed
	case c.lingering:
		if c.readLimit == -1 { // the deadline is past
			c.readLimit = 0
			return c.nc.SetReadDeadline(time.Now().Add(lingerTime))
		}
		return nil
	case c.closing && c.busy() == 0 && !c.draining:
		return net.ErrClosed
	}
	limit, idle := time.Duration(0), false
	switch {
	case c.unfinished > 0 || c.active == 0 && (c.r != c.w || c.remain+c.padding > 0):
		limit = c.srv.limits().ReadTimeout
	case c.active == 0:
		limit, idle = c.srv.limits().IdleTimeout, true
	}
	if limit == 0 {
		if c.readLimit != 0 {
			c.readLimit = 0
			return c.nc.SetReadDeadline(time.Time{})
		}
		return nil
	}
	now := time.Now()
	if limit == c.readLimit && idle == c.readIdle {
		if now.Sub(c.readSet) < limit/8 {
			return nil
		}
		// Within the head of a request, or a record, time runs on.
		if !idle && (c.inHead > 0 || c.readSeen == c.records) {
			return nil
		}
	}
	c.readIdle = idle
	c.readLimit, c.readSet, c.readSeen = limit, now, c.records
	return c.nc.SetReadDeadline(now.Add(limit))
}
