package fastcgi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// endParams takes the end of the PARAMS stream: the request can run.
func (c *conn) endParams(r *Request) error {
	c.mu.Lock()
	r.phase = inStdin
	c.inHead--
	alone := c.active == 1
	c.mu.Unlock()
	if r.refused == 0 {
		if err := c.parsePairs(r, alone); err != nil {
			return err
		}
	}
	if r.refused != 0 {
		c.answerRefused(r)
		return nil
	}
	c.mu.Lock()
	r.started = true
	c.mu.Unlock()
	if c.ready != nil {
		go c.serve(c.ready)
	}
	c.ready = r
	return nil
}

// parsePairs fills r.Params. The slice of the connection is used again when no
// other request can hold it.
func (c *conn) parsePairs(r *Request, alone bool) error {
	block := r.block
	if r.params != nil {
		block = string(r.params)
		r.params = nil
	}
	var pairs Params
	if alone {
		pairs = c.pairs[:0]
	}
	pairs, err := parseParams(pairs, block, c.srv.limits().MaxParams)
	if alone && cap(pairs) <= 1024 {
		c.pairs = pairs
	}
	r.Params = pairs
	r.block = ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errPairsCut):
		return &protocolError{err.Error()}
	case errors.Is(err, errPairCount):
		r.refused = http.StatusRequestHeaderFieldsTooLarge
	default:
		r.refused = http.StatusBadRequest
	}
	c.srv.report(KindParams, c.nc.RemoteAddr(), err)
	return nil
}

// answerRefused answers a request whose params were refused by a response,
// since web servers show nothing but a response to their clients.
func (c *conn) answerRefused(r *Request) {
	if r.size > c.srv.limits().MaxParamsSize {
		c.srv.report(KindParams, c.nc.RemoteAddr(), fmt.Errorf("fastcgi: params of more than %d bytes", c.srv.limits().MaxParamsSize))
	}
	text := http.StatusText(r.refused)
	_, _ = fmt.Fprintf(&r.out, "Status: %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\n", r.refused, text, text)
	c.finish(r)
}

// endStdin takes the end of STDIN.
func (c *conn) endStdin(r *Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.phase != inStdin {
		return
	}
	r.trailers = pairsOfTail(r.tail)
	r.stdin.end(io.EOF)
	if r.Role == Filter {
		r.phase = inData
		return
	}
	c.inputEnded(r)
}

// endData takes the end of DATA.
func (c *conn) endData(r *Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.phase != inData {
		return
	}
	r.data.end(io.EOF)
	c.inputEnded(r)
}

// abort takes an ABORT_REQUEST (section 5.4). A request that runs is told by
// its context and answered when its handler returns; one whose params are not
// complete is answered here.
func (c *conn) abort(r *Request) {
	c.mu.Lock()
	if r.hijacked {
		r.ctx.end(ErrAborted)
		c.mu.Unlock()
		return
	}
	c.cut(r, ErrAborted)
	started := r.started
	c.inputEnded(r)
	c.mu.Unlock()
	if !started {
		c.finish(r)
	}
}

// finish ends a request that its handler has done with: the id becomes
// inactive, then END_REQUEST is written, then the connection is closed if that
// was asked for.
func (c *conn) finish(r *Request) {
	c.mu.Lock()
	r.finished = true
	cut := r.phase != inputDone
	c.forget(r)
	c.active--
	c.answering++
	for _, s := range [...]*stream{&r.stdin, &r.data} {
		if s.timer != nil {
			s.timer.Stop()
		}
		s.buf = nil
	}
	aborted := r.out.aborted.Load()
	// One that carries other requests still takes new ones: to refuse them would
	// lose them.
	retired := c.active == 0 && (c.retiring.Load() || c.srv.state.retiring.Load())
	if aborted || !r.KeepConn || retired {
		c.closing = true
	}
	c.broken = c.broken || aborted
	r.changed.Broadcast()
	c.mu.Unlock()

	r.ctx.end(ErrHandlerDone)
	r.out.finish(aborted)

	c.mu.Lock()
	c.answering--
	last := c.closing && c.busy() == 0
	if last && cut && !c.broken && !c.gone && c.closeWrite() {
		c.lingering = true
		_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	}
	last, broken := last && !c.lingering, c.broken
	c.mu.Unlock()
	if last && broken {
		c.breakOff()
	}
	if last && (aborted || broken || cut || !r.KeepConn || !c.lastInput()) {
		_ = c.nc.Close()
	}
	c.release()
}

// breakOff says, before the connection is closed, that the response is not
// whole. The specification has no word for that: no END_REQUEST should be
// enough, but nginx takes a closed connection for the end of a response, or
// waits for the rest of its Content-Length. It refuses a record of a version
// that does not exist, and nobody takes one for an end (docs/adr/0006).
func (c *conn) breakOff() {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.writeErr != nil {
		return
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(breakOffTime))
	_, _ = c.io.Write(make([]byte, headerLen))
}

// closeWrite ends our side of the stream, so that the answer is read to its
// end while the rest of the request is still taken.
func (c *conn) closeWrite() bool {
	half, ok := c.nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}
