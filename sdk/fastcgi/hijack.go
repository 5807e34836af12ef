package fastcgi

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"time"
)

// hijackedConn is the net.Conn of an http.Hijacker: STDIN and STDOUT of the
// request. It is over when it is closed or the handler returns, whichever
// comes last: the handler waits for Close. An ABORT ends the context, but the
// connection can be read and written a while longer, for a goodbye.
type hijackedConn struct {
	h *httpWriter

	mu     sync.Mutex
	first  []byte // the status line, until it is whole
	opened bool
	closed bool
	done   chan struct{}
}

func newHijackedConn(h *httpWriter) *hijackedConn {
	c := h.r.conn
	c.mu.Lock()
	// An upgraded connection may be silent for long.
	c.impatient(h.r)
	h.r.hijacked = true
	c.mu.Unlock()
	return &hijackedConn{h: h, done: make(chan struct{})}
}

// Read reads from STDIN.
func (c *hijackedConn) Read(p []byte) (int, error) { return c.h.r.stdin.Read(p) }

// maxStatusLine bounds a status line in bytes.
const maxStatusLine = 4 << 10

// Write writes to STDOUT at once. FastCGI knows no status line (section 6.2):
// "HTTP/1.1 101 Switching Protocols" becomes "Status: 101 Switching Protocols".
func (c *hijackedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	if !c.opened {
		c.first = append(c.first, p...)
		line, rest, found := bytes.Cut(c.first, []byte("\n"))
		if !found && len(c.first) < maxStatusLine {
			return len(p), nil
		}
		c.opened = true
		if found && bytes.HasPrefix(line, []byte("HTTP/")) {
			_, code, _ := bytes.Cut(line, []byte(" "))
			_, _ = c.h.w.WriteString("Status: ")
			_, _ = c.h.w.Write(code)
			_, _ = c.h.w.WriteString("\n")
			c.first = rest
		}
		if _, err := c.h.w.Write(c.first); err != nil {
			return 0, err
		}
		c.first = nil
		return len(p), c.h.w.Flush()
	}
	if _, err := c.h.w.Write(p); err != nil {
		return 0, err
	}
	return len(p), c.h.w.Flush()
}

// Close ends reading and writing.
func (c *hijackedConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	close(c.done)
	c.h.r.stdin.stop(net.ErrClosed)
	return nil
}

// goodbyeTime is how long a hijacked connection may be written to after an
// ABORT.
const goodbyeTime = 5 * time.Second

// wait returns when the connection is closed or the web server has left. One
// that aborts is still there, and may be told goodbye.
func (c *hijackedConn) wait() {
	select {
	case <-c.done:
		return
	case <-c.h.r.ctx.Done():
	}
	if !errors.Is(c.h.r.Cause(), ErrAborted) {
		return
	}
	timer := time.NewTimer(goodbyeTime)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
	}
}

// LocalAddr is that of the connection to the web server.
func (c *hijackedConn) LocalAddr() net.Addr { return c.h.r.conn.nc.LocalAddr() }

// RemoteAddr is that of the web server.
func (c *hijackedConn) RemoteAddr() net.Addr { return c.h.r.conn.nc.RemoteAddr() }

// SetDeadline sets both deadlines.
func (c *hijackedConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of reads.
func (c *hijackedConn) SetReadDeadline(t time.Time) error { return c.h.w.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of writes.
func (c *hijackedConn) SetWriteDeadline(t time.Time) error { return c.h.w.SetWriteDeadline(t) }
