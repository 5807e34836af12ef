package fastcgi

import (
	"errors"
	"os"
	"time"
)

// write writes b, which is whole records. r is the request it belongs to, nil
// for none. An error ends the connection: nobody knows where in a record the
// stream stopped.
func (c *conn) write(b []byte, r *Request, deadline time.Time) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.beginWrite(r, deadline); err != nil {
		return err
	}
	_, err := c.io.Write(b)
	return c.endWrite(err)
}

func (c *conn) writeRecord(kind recordType, id uint16, content []byte) error {
	return c.write(appendRecord(nil, kind, id, content), nil, time.Time{})
}

// writeStream writes first, which is whole records, then p as records of a
// stream, from where it is.
func (c *conn) writeStream(first []byte, kind recordType, r *Request, p []byte, deadline time.Time) error {
	for {
		now := p[:min(len(p), batch)]
		p = p[len(now):]
		if err := c.writeBatch(first, kind, r, now, deadline); err != nil || len(p) == 0 {
			return err
		}
		first = nil
	}
}

func (c *conn) writeBatch(first []byte, kind recordType, r *Request, p []byte, deadline time.Time) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.beginWrite(r, deadline); err != nil {
		return err
	}
	if len(p) == 0 {
		_, err := c.io.Write(first)
		return c.endWrite(err)
	}
	if c.hdrs == nil {
		c.hdrs = make([]byte, (batch/chunk)*headerLen)
	}
	h := c.hdrs
	parts := append(c.parts[:0], first)
	padding := 0
	for len(p) > 0 {
		n := min(len(p), chunk)
		padding = pad(n)
		putHeader(h, kind, r.id, n, padding)
		parts = append(parts, h[:headerLen:headerLen], p[:n])
		h, p = h[headerLen:], p[n:]
	}
	parts = append(parts, appendPadding(nil, padding))
	if len(first) == 0 {
		c.bufs = parts[1:]
	} else {
		c.bufs = parts
	}
	_, err := c.bufs.WriteTo(c.nc)
	clear(parts)
	c.parts, c.bufs = parts[:0], nil
	return c.endWrite(err)
}

// beginWrite sets the deadline. c.wmu is held.
func (c *conn) beginWrite(r *Request, deadline time.Time) error {
	if c.writeErr != nil {
		return c.writeErr
	}
	now := time.Now()
	switch {
	case !deadline.IsZero():
		if limit := now.Add(c.srv.limits().WriteTimeout); limit.Before(deadline) {
			deadline = limit
		}
		c.writeSet = time.Time{}
		_ = c.nc.SetWriteDeadline(deadline)
	case c.writeOff.Swap(false) || now.Sub(c.writeSet) > c.srv.limits().WriteTimeout/8:
		c.writeSet = now
		_ = c.nc.SetWriteDeadline(now.Add(c.srv.limits().WriteTimeout))
	}
	c.writing.Store(r)
	return nil
}

func (c *conn) endWrite(err error) error {
	c.writing.Store(nil)
	if err == nil {
		return nil
	}
	kind := KindWrite
	if errors.Is(err, os.ErrDeadlineExceeded) {
		kind = KindTimeout
	}
	c.mu.Lock()
	known := c.failed != nil
	c.mu.Unlock()
	if !known {
		c.srv.report(kind, c.nc.RemoteAddr(), err)
	}
	c.writeErr = errors.Join(ErrConnLost, err)
	c.fail(c.writeErr)
	return c.writeErr
}
