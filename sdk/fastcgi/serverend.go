package fastcgi

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
)

// readEnded is the end of reading.
func (c *conn) readEnded(err error) {
	c.mu.Lock()
	c.gone, c.closing = true, true
	if c.ready != nil {
		// Its handler never runs.
		c.ready.started = false
		c.ready = nil
	}
	partial := c.r != c.w || c.remain+c.padding > 0 || c.unfinished > 0
	// A connection may go when nothing is under way.
	quiet := c.lingering || c.failed != nil || errors.Is(err, net.ErrClosed) || !partial && c.busy() == 0
	c.mu.Unlock()

	switch {
	case !errors.Is(err, io.EOF):
		if !quiet {
			c.srv.report(readErrorKind(err), c.nc.RemoteAddr(), err)
		}
		c.fail(errors.Join(ErrConnLost, err))
	default:
		if partial && !quiet {
			c.srv.report(KindRead, c.nc.RemoteAddr(), io.ErrUnexpectedEOF)
		}
		if c.endInput() {
			// The web server may have stopped sending only, and wait for answers.
			c.awaitHangup()
		}
		c.fail(ErrConnLost)
	}
	c.release()
}

func readErrorKind(err error) ErrorKind {
	var pe *protocolError
	switch {
	case errors.As(err, &pe):
		return KindProtocol
	case errors.Is(err, os.ErrDeadlineExceeded):
		return KindTimeout
	}
	return KindRead
}

// endInput ends requests whose input was cut by the end of the stream, and
// says whether any is left: they may still be answered.
func (c *conn) endInput() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range slices.Clone(c.requests) {
		if r.phase == inputDone {
			continue
		}
		c.cut(r, ErrConnLost)
		if !r.started {
			c.forget(r)
			c.active--
		}
	}
	return c.busy() > 0
}

// busy counts requests that are not fully answered. c.mu is held.
func (c *conn) busy() int { return c.active + c.answering }

// forget makes the id of r inactive. c.mu is held.
func (c *conn) forget(r *Request) {
	c.inputEnded(r)
	c.requests = slices.DeleteFunc(c.requests, func(other *Request) bool { return other == r })
}

// inputEnded books that no more input of r counts. c.mu is held.
func (c *conn) inputEnded(r *Request) {
	if r.phase == inParams {
		c.inHead--
	}
	r.phase = inputDone
	c.impatient(r)
}

// impatient ends the watch of ReadTimeout over r. c.mu is held.
func (c *conn) impatient(r *Request) {
	if r.counted {
		r.counted = false
		c.unfinished--
	}
}

// cut ends the input and the context of r. c.mu is held.
func (c *conn) cut(r *Request, cause error) {
	r.stdin.end(inputError(cause))
	r.data.end(inputError(cause))
	r.ctx.end(cause)
	r.changed.Broadcast()
}

// fail ends everything on the connection and closes it.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = err
	}
	c.closing = true
	for _, r := range slices.Clone(c.requests) {
		c.cut(r, c.failed)
		if !r.started {
			c.forget(r)
			c.active--
		}
	}
	_ = c.nc.Close()
}

// release closes the connection when nothing uses it any more.
func (c *conn) release() {
	c.mu.Lock()
	done := c.gone && c.busy() == 0 && !c.removed
	if done {
		c.removed = true
		if c.timer != nil {
			c.timer.Stop()
		}
		_ = c.nc.Close()
	}
	c.mu.Unlock()
	if done {
		c.srv.remove(c)
	}
}

// drain lets running requests end and closes the connection then; at once
// when there is none and none has arrived.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	if c.busy() == 0 && !c.lingering && !c.stopInput() {
		_ = c.nc.Close()
	}
}

// stopInput lets the reader take what has arrived and then see the end of the
// stream: a request that came just before a shutdown is still served. c.mu is
// held.
func (c *conn) stopInput() bool {
	half, ok := c.nc.(interface{ CloseRead() error })
	if c.gone || !ok || half.CloseRead() != nil {
		return false
	}
	c.draining = true
	return true
}

// lastInput is stopInput for who does not hold c.mu.
func (c *conn) lastInput() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopInput()
}

func (c *conn) abandon() { c.fail(ErrServerClosed) }
