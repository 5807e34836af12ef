package fastcgi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// directMin is from how many bytes on a read goes straight into the caller's
// slice instead of through the buffer.
const directMin = 2 << 10

// ahead is how much is read into the buffer behind a content that goes
// straight to its reader: an empty STDOUT and END_REQUEST fit.
const ahead = headerLen + endLen

// Read reads from STDOUT. It returns io.EOF only after END_REQUEST; every
// other end of the answer is an *Error. A Read that a deadline ended may be
// repeated.
func (c *Conn) Read(p []byte) (int, error) {
	if c.readErr != nil {
		return 0, c.readErr
	}
	if !c.started {
		return 0, &Error{StageNotSent, errIdle}
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if err := c.advance(); err != nil {
			return 0, c.fail(err)
		}
		if c.ended.Load() {
			if c.status != RequestComplete {
				stage := StageNotSent
				if c.answered {
					stage = StageBroken
				}
				return 0, &Error{stage, StatusError{c.status}}
			}
			return 0, io.EOF
		}
		if c.kind == typeStdout && c.remain > 0 {
			n, err := c.readContent(p)
			if n == 0 && err == nil {
				continue
			}
			return n, err
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
}

// readContent reads from the content of a STDOUT record.
func (c *Conn) readContent(p []byte) (int, error) {
	p = p[:min(len(p), c.remain)]
	n := copy(p, c.rbuf[c.r:c.w])
	c.r += n
	c.remain -= n
	var err error
	if rest := p[n:]; len(rest) >= directMin {
		// The buffer is empty now. What was in it is not held back for more.
		var got int
		if n == 0 {
			got, err = c.vec.read(rest, c.aheadOf(rest))
		} else {
			got, err = c.vec.tryRead(rest, c.aheadOf(rest))
		}
		if err != nil && n == 0 {
			return 0, c.netError(err)
		}
		c.took(&n, got, len(rest))
	} else if n == 0 {
		return 0, c.fill()
	}
	c.answered = true
	if err := c.advance(); err != nil {
		// The bytes are good; the error comes with the next Read.
		_ = c.fail(err)
	}
	return n, nil
}

// aheadOf returns where to read what follows rest, if rest is the whole rest
// of the content.
func (c *Conn) aheadOf(rest []byte) []byte {
	c.r, c.w = 0, 0
	if len(rest) < c.remain {
		return nil
	}
	return c.rbuf[:min(c.padding+ahead, len(c.rbuf))]
}

// took books got bytes, of which direct at most went to the caller.
func (c *Conn) took(n *int, got, direct int) {
	d := min(got, direct)
	*n += d
	c.remain -= d
	c.w = got - d
}

// fill reads into the buffer, waiting for at least one byte.
func (c *Conn) fill() error {
	if c.r == c.w {
		c.r, c.w = 0, 0
	} else if c.w == len(c.rbuf) {
		copy(c.rbuf, c.rbuf[c.r:c.w])
		c.r, c.w = 0, c.w-c.r
	}
	n, err := c.io.Read(c.rbuf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return nil
	}
	return c.netError(err)
}

// netError lets a read that ran into a deadline be repeated.
func (c *Conn) netError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &Error{Stage: c.stage(), Err: err}
	}
	return c.fail(err)
}

// advance takes what is in the buffer until it stands before content of
// STDOUT, after the end of the request, or needs more.
func (c *Conn) advance() error {
	for !c.ended.Load() {
		have := c.rbuf[c.r:c.w]
		if c.remain > 0 {
			n := c.take(have)
			if n == 0 {
				return nil
			}
			c.r += n
			c.remain -= n
			continue
		}
		if c.padding > 0 {
			n := min(c.padding, len(have))
			c.padding -= n
			c.r += n
			if c.padding > 0 {
				return nil
			}
			continue
		}
		if len(have) < headerLen {
			return nil
		}
		h := parseHeader(have)
		c.r += headerLen
		if err := c.begin(h); err != nil {
			return err
		}
	}
	// The end of a request may come with padding of its own.
	n := min(c.padding, c.w-c.r)
	c.padding -= n
	c.r += n
	return nil
}

// begin takes a record's header.
func (c *Conn) begin(h header) error {
	switch {
	case h.version != version:
		return &protocolError{fmt.Sprintf("record version %d", h.version)}
	case h.id != requestID:
		return &protocolError{fmt.Sprintf("record type %d for request %d, which was never begun", h.kind, h.id)}
	}
	switch h.kind {
	case typeStdout, typeStderr:
	case typeTrailers:
		if !c.extended {
			return &protocolError{"TRAILERS, which are not of FastCGI"}
		}
		if len(c.tail)+h.length > maxTail {
			return &protocolError{"TRAILERS are too large"}
		}
	case typeEndRequest:
		if h.length != 8 {
			return &protocolError{fmt.Sprintf("END_REQUEST with %d bytes", h.length)}
		}
	default:
		return &protocolError{fmt.Sprintf("record type %d from an application", h.kind)}
	}
	c.kind, c.remain, c.padding = h.kind, h.length, h.padding
	return nil
}

// take takes from the content of a record that is not STDOUT and returns how
// much, 0 when it needs more.
func (c *Conn) take(have []byte) int {
	if c.kind == typeStderr {
		// A record that fits the buffer is handed on in one piece.
		if len(have) < c.remain && c.remain <= len(c.rbuf) {
			return 0
		}
		n := min(len(have), c.remain)
		if n > 0 && c.stderr != nil {
			c.stderr(have[:n])
		}
		return n
	}
	if c.kind == typeTrailers {
		n := min(len(have), c.remain)
		c.tail = append(c.tail, have[:n]...)
		return n
	}
	if c.kind != typeEndRequest || len(have) < 8 {
		return 0
	}
	// The reserved bytes are whatever was in php-cgi's memory.
	c.appStatus = binary.BigEndian.Uint32(have)
	c.status = ProtocolStatus(have[4])
	c.ended.Store(true)
	return 8
}
