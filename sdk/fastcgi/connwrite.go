package fastcgi

import (
	"io"
	"strings"
)

const (
	// copyMax is up to how many bytes a body is copied behind its header and
	// written with it; a larger one is written from where it is.
	copyMax = 16 << 10
	// streamChunk is how much ReadFrom reads at once.
	streamChunk = 32 << 10
	// keepBuffer is what a connection keeps of a buffer that grew.
	keepBuffer = 64 << 10
)

// Start begins a request and sends its params. A nil body follows by
// WriteStdin or ReadFrom, then CloseStdin. Any other body, an empty one too,
// is sent whole with the end of STDIN, all in one write. The errors are
// ErrPairTooLarge and ErrNUL, before anything is sent and without harm to the
// connection, and *Error.
//
// Each pair is sent in one PARAMS record, which php-cgi insists on.
func (c *Conn) Start(role Role, keepConn bool, params Params, body []byte) error {
	return c.start(role, keepConn, params, body, false)
}

// Ask is Start that waits for the first bytes of the answer, too, as long as a Read
// would, when the body is one of 16 KiB at most. That spares a system call. Read gives
// those bytes, and what went wrong in the wait; nobody may read meanwhile.
func (c *Conn) Ask(role Role, keepConn bool, params Params, body []byte) error {
	return c.start(role, keepConn, params, body, body != nil)
}

// ask writes b and reads what comes then. The lock is for writing: others may abort.
func (c *Conn) ask(b []byte) (int, error) {
	c.wmu.Unlock()
	defer c.wmu.Lock()
	sent, n, err := c.io.Ask(b, c.rbuf)
	if sent < len(b) {
		return sent, err
	}
	c.sent.Store(true)
	c.r, c.w = 0, n
	if err != nil {
		_ = c.netError(err) // Read says it
	}
	return sent, nil
}

// start does what Start and Ask have in common; wait is Ask's.
func (c *Conn) start(role Role, keepConn bool, params Params, body []byte, wait bool) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.started && !c.Reusable() || c.readErr != nil {
		return &Error{StageNotSent, errBusy}
	}
	b := appendBegin(c.wbuf[:0], requestID, role, keepConn)
	b, err := appendParams(b, params)
	if err != nil {
		return err
	}
	c.started, c.keep, c.answered = true, keepConn, false
	c.sent.Store(false)
	c.ended.Store(false)
	c.stdinDone.Store(body != nil)
	c.appStatus, c.status = 0, 0
	c.kind, c.writeErr, c.tail = 0, nil, nil

	head := len(b)
	var n int
	if len(body) <= copyMax {
		if len(body) > 0 {
			b = appendRecord(b, typeStdin, requestID, body)
		}
		if body != nil {
			b = appendHeader(b, typeStdin, requestID, 0, 0)
		}
		if wait {
			n, err = c.ask(b)
		} else {
			n, err = c.io.Write(b)
		}
		c.keepBuf(b)
	} else {
		n, err = c.writeLarge(b, body, true)
	}
	c.sent.Store(n >= head)
	if err != nil {
		c.writeErr = &Error{c.stage(), err}
	}
	return c.writeErr
}

// writeLarge writes b, then body as STDIN records from where it is, then,
// with last, the end of STDIN.
func (c *Conn) writeLarge(b, body []byte, last bool) (int, error) {
	head := len(b)
	for rest := len(body); rest > 0; rest -= chunk {
		n := min(rest, chunk)
		b = appendHeader(b, typeStdin, requestID, n, pad(n))
	}
	tail := len(b)
	b = appendPadding(b, pad(len(body)%chunk))
	if last {
		b = appendHeader(b, typeStdin, requestID, 0, 0)
	}
	parts := c.parts[:0]
	at := head
	for len(body) > 0 {
		n := min(len(body), chunk)
		from := at
		if at == head {
			from = 0
		}
		at += headerLen
		parts = append(parts, b[from:at], body[:n])
		body = body[n:]
	}
	parts = append(parts, b[tail:])
	c.bufs = parts
	n, err := c.bufs.WriteTo(c.nc)
	clear(parts)
	c.bufs, c.parts = nil, parts[:0]
	if cap(parts) > 1024 {
		c.parts = nil
	}
	c.keepBuf(b)
	return int(n), err
}

func (c *Conn) keepBuf(b []byte) {
	if cap(b) <= keepBuffer {
		c.wbuf = b[:0]
	}
}

// WriteStdin sends p as STDIN. An empty p does nothing: CloseStdin ends the
// stream. After an error the answer may still be read: an application need not
// read all of STDIN.
func (c *Conn) WriteStdin(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.canWrite(); err != nil {
		return 0, err
	}
	var err error
	if len(p) <= copyMax {
		b := appendRecord(c.wbuf[:0], typeStdin, requestID, p)
		_, err = c.io.Write(b)
		c.keepBuf(b)
	} else {
		_, err = c.writeLarge(c.wbuf[:0], p, false)
	}
	if err != nil {
		c.writeErr = &Error{StageUnanswered, err}
		return 0, c.writeErr
	}
	return len(p), nil
}

// ReadFrom sends what r has as STDIN until its end, as it comes. It does not
// close STDIN.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if c.stream == nil {
		c.stream = make([]byte, headerLen+streamChunk+7)
	}
	var sent int64
	for {
		n, err := r.Read(c.stream[headerLen : headerLen+streamChunk])
		if n > 0 {
			putHeader(c.stream, typeStdin, requestID, n, pad(n))
			end := headerLen + n
			clear(c.stream[end : end+pad(n)])
			if werr := c.writeRaw(c.stream[:end+pad(n)]); werr != nil {
				return sent, werr
			}
			sent += int64(n)
		}
		if err == io.EOF {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
	}
}

// CloseStdin ends STDIN. It may be called again, to no effect.
func (c *Conn) CloseStdin() error {
	if c.stdinDone.Load() {
		return nil
	}
	var end [headerLen]byte
	putHeader(end[:], typeStdin, requestID, 0, 0)
	if err := c.writeRaw(end[:]); err != nil {
		return err
	}
	c.stdinDone.Store(true)
	return nil
}

// Abort asks the application to give the request up. Its answer is still to be
// read. php-cgi ignores it.
func (c *Conn) Abort() error {
	var b [headerLen]byte
	putHeader(b[:], typeAbortRequest, requestID, 0, 0)
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if !c.started || c.ended.Load() {
		return nil
	}
	return c.write(b[:])
}

func (c *Conn) canWrite() error {
	switch {
	case c.writeErr != nil:
		return c.writeErr
	case !c.started || c.stdinDone.Load():
		return &Error{StageNotSent, errIdle}
	}
	return nil
}

func (c *Conn) writeRaw(b []byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.canWrite(); err != nil {
		return err
	}
	return c.write(b)
}

func (c *Conn) write(b []byte) error {
	if c.writeErr != nil {
		return c.writeErr
	}
	if _, err := c.io.Write(b); err != nil {
		c.writeErr = &Error{StageUnanswered, err}
	}
	return c.writeErr
}

// appendParams appends params as PARAMS records of whole pairs, and the end of
// the stream.
func appendParams(b []byte, params Params) ([]byte, error) {
	at := len(b)
	b = appendHeader(b, typeParams, requestID, 0, 0)
	for i := range params {
		name, value := params[i].Name, params[i].Value
		size := pairSize(name, value)
		if size > maxPair {
			return b, ErrPairTooLarge
		}
		if strings.IndexByte(value, 0) >= 0 || strings.IndexByte(name, 0) >= 0 {
			return b, ErrNUL
		}
		if len(b)-at-headerLen+size > chunk {
			b = closeParams(b, at)
			at = len(b)
			b = appendHeader(b, typeParams, requestID, 0, 0)
		}
		b = appendPair(b, name, value)
	}
	if len(b)-at > headerLen {
		b = closeParams(b, at)
		b = appendHeader(b, typeParams, requestID, 0, 0)
	}
	return b, nil
}

func closeParams(b []byte, at int) []byte {
	n := len(b) - at - headerLen
	putHeader(b[at:], typeParams, requestID, n, pad(n))
	return appendPadding(b, pad(n))
}
