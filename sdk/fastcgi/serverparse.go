package fastcgi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// skipFactor bounds what is skipped of params that are too large, in multiples
// of MaxParamsSize, before the connection is closed.
const skipFactor = 16

// parse takes what is in the buffer. It stops when it needs more, when content
// for direct is next (which its reader takes itself), and when the request
// that is ready has no room for its input before it runs.
func (c *conn) parse(direct *stream) error {
	for {
		have := c.in[c.r:c.w]
		switch {
		case c.remain > 0:
			if direct != nil && c.to == direct {
				return nil
			}
			n := min(len(have), c.remain)
			if n == 0 {
				return nil
			}
			n, err := c.content(have[:n])
			if err != nil {
				return err
			}
			if n == 0 {
				return nil
			}
			c.r += n
			c.remain -= n
		case c.padding > 0:
			n := min(len(have), c.padding)
			if n == 0 {
				return nil
			}
			c.r += n
			c.padding -= n
		default:
			if len(have) < headerLen {
				return nil
			}
			n, err := c.record(have)
			if err != nil || n == 0 {
				return err
			}
			c.r += n
		}
	}
}

// record takes the header of a record, and the whole record if it is none of a
// stream. It returns 0 when it needs more.
func (c *conn) record(have []byte) (int, error) {
	h := parseHeader(have)
	if h.version != version {
		return 0, &protocolError{fmt.Sprintf("record version %d", h.version)}
	}
	took := headerLen
	c.to, c.toReq = nil, nil
	var err error
	switch {
	case h.id == 0:
		if h.kind == typeGetValues {
			if h.length > len(c.in)-headerLen {
				return 0, &protocolError{"GET_VALUES is too large"}
			}
			if len(have) < headerLen+h.length {
				return 0, nil
			}
			err = c.getValues(string(have[headerLen : headerLen+h.length]))
			took, h.length = took+h.length, 0
		} else {
			err = c.management(h)
		}
	case h.kind == typeBeginRequest:
		if h.length != 8 {
			return 0, &protocolError{fmt.Sprintf("BEGIN_REQUEST with %d bytes", h.length)}
		}
		if len(have) < headerLen+8 {
			return 0, nil
		}
		err = c.begin(h.id, have[headerLen:])
		took, h.length = took+8, 0
	default:
		err = c.requestRecord(h)
	}
	c.head, c.remain, c.padding = h, h.length, h.padding
	c.records++
	return took, err
}

// management answers a management record other than GET_VALUES (section 4.2).
func (c *conn) management(h header) error {
	if h.kind <= typeData && h.kind != 0 {
		return &protocolError{fmt.Sprintf("record type %d with request id 0", h.kind)}
	}
	return c.writeRecord(typeUnknownType, 0, []byte{byte(h.kind), 0, 0, 0, 0, 0, 0, 0})
}

// getValues answers what was asked and is known (section 4.1).
func (c *conn) getValues(block string) error {
	asked, err := parseParams(nil, block, 64)
	if err != nil {
		return &protocolError{"GET_VALUES: " + err.Error()}
	}
	mpxs, l := 0, c.srv.limits()
	if l.MaxRequestsPerConn > 1 {
		mpxs = 1
	}
	known := valueNames()
	values := [3]int{l.MaxConns, l.MaxConns * l.MaxRequestsPerConn, mpxs}
	var answer []byte
	for i, name := range known {
		if slices.ContainsFunc(asked, func(p Param) bool { return p.Name == name }) {
			answer = appendPair(answer, name, strconv.Itoa(values[i]))
		}
	}
	return c.writeRecord(typeGetValuesResult, 0, answer)
}

// begin takes a BEGIN_REQUEST (section 5.1).
func (c *conn) begin(id uint16, body []byte) error {
	role := Role(binary.BigEndian.Uint16(body))
	keep := body[2]&flagKeepConn != 0
	most := c.srv.limits().MaxRequestsPerConn
	c.mu.Lock()
	if c.find(id) != nil {
		c.mu.Unlock()
		return &protocolError{fmt.Sprintf("BEGIN_REQUEST for request %d, which is active", id)}
	}
	status := RequestComplete
	switch {
	case c.active >= most && most == 1:
		status = CantMpxConn
	case c.active >= most || c.closing && c.active > 0:
		status = Overloaded
	case !slices.Contains(c.srv.Roles, role):
		status = UnknownRole
	}
	if status != RequestComplete {
		if !keep {
			c.closing = true
		}
		c.mu.Unlock()
		return c.refuse(id, status)
	}
	r := &Request{Role: role, KeepConn: keep, id: id, conn: c}
	r.ctx.r, r.stdin.r, r.data.r = r, r, r
	r.changed.L = &c.mu
	r.out.r = r
	r.Stdin, r.Data = &r.stdin, &r.data
	if role != Filter {
		r.data.err = errNoData
	}
	c.requests = append(c.requests, r)
	c.active++
	c.unfinished++
	c.inHead++
	r.counted = true
	c.mu.Unlock()
	return nil
}

var (
	errNoData  = errors.New("fastcgi: only the Filter role has DATA")
	errRefused = errors.New("request refused")
)

// refuse ends a request that was not taken.
func (c *conn) refuse(id uint16, status ProtocolStatus) error {
	c.srv.report(KindLimit, c.nc.RemoteAddr(), fmt.Errorf("%w: %v", errRefused, status))
	var b [endLen]byte
	return c.write(appendEnd(b[:0], id, 0, status), nil, time.Time{})
}

// find returns the active request called id. c.mu is held.
func (c *conn) find(id uint16) *Request {
	for _, r := range c.requests {
		if r.id == id {
			return r
		}
	}
	return nil
}

// requestRecord takes the header of a record of a request. Those of requests
// that are not active are ignored (section 3.3).
func (c *conn) requestRecord(h header) error {
	c.mu.Lock()
	r := c.find(h.id)
	at := inputDone
	if r != nil {
		at = r.phase
	}
	c.mu.Unlock()
	if r == nil {
		return nil
	}
	c.toReq = r
	switch h.kind {
	case typeAbortRequest:
		c.abort(r)
		c.toReq = nil
	case typeParams:
		if at != inParams {
			return &protocolError{"PARAMS after their end"}
		}
		if h.length == 0 {
			return c.endParams(r)
		}
	case typeStdin:
		if at == inParams {
			return &protocolError{"STDIN before the end of PARAMS"}
		}
		if h.length == 0 {
			c.endStdin(r)
		} else if at == inStdin {
			c.to = &r.stdin
		}
	case typeData:
		// Ignored but for a filter (section 6.4).
		if r.Role != Filter {
			break
		}
		if at < inData {
			return &protocolError{"DATA before the end of STDIN"}
		}
		if h.length == 0 {
			c.endData(r)
		} else if at == inData {
			c.to = &r.data
		}
	case typeTrailers:
		if !c.srv.Extended || at == inParams {
			return &protocolError{"TRAILERS out of place"}
		}
	default:
		return &protocolError{fmt.Sprintf("record type %d from a web server", h.kind)}
	}
	return nil
}

// content takes content of a stream and returns how much of it.
func (c *conn) content(b []byte) (int, error) {
	switch {
	case c.head.kind == typeParams && c.toReq != nil:
		return len(b), c.addParams(c.toReq, b)
	case c.head.kind == typeTrailers && c.toReq != nil:
		return len(b), c.addTrailers(c.toReq, b)
	case c.to != nil:
		return c.deliver(c.to, b)
	}
	return len(b), nil
}

// deliver puts content into a stream's buffer, waiting for room.
func (c *conn) deliver(s *stream, b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room := c.srv.limits().MaxStdinBuffer - s.waiting()
	if s.err == nil && !s.r.finished && room <= 0 {
		if s.r == c.ready {
			return 0, nil
		}
		if err := c.awaitRoom(s); err != nil {
			return 0, err
		}
		room = c.srv.limits().MaxStdinBuffer - s.waiting()
	}
	if s.err != nil || s.r.finished {
		return len(b), nil
	}
	n := min(len(b), room)
	s.put(b[:n])
	return n, nil
}

// awaitRoom waits until the handler has read. When other requests wait behind
// it there is an end to that. c.mu is held.
func (c *conn) awaitRoom(s *stream) error {
	c.stalled = s
	// The time the handler took is not the web server's.
	defer func() { c.stalled, c.readLimit = nil, -1 }()
	limit := time.Now().Add(c.srv.limits().StallTimeout)
	for s.waiting() >= c.srv.limits().MaxStdinBuffer && s.err == nil && !s.r.finished && c.failed == nil {
		if c.active > 1 && time.Now().After(limit) {
			c.srv.report(KindLimit, c.nc.RemoteAddr(), ErrStalled)
			c.cut(s.r, ErrStalled)
			return nil
		}
		timer := time.AfterFunc(min(c.srv.limits().StallTimeout, time.Second)/4+time.Millisecond, s.r.changed.Broadcast)
		s.r.changed.Wait()
		timer.Stop()
		if c.vec.raw != nil {
			left := false
			_ = c.vec.raw.Control(func(fd uintptr) { left = hungUp(fd) })
			if left {
				return ErrConnLost
			}
		}
	}
	return c.failed
}

// addParams collects params, which may be cut anywhere.
func (c *conn) addParams(r *Request, b []byte) error {
	r.size += len(b)
	if r.size > c.srv.limits().MaxParamsSize {
		r.refused = http.StatusRequestHeaderFieldsTooLarge
		r.params, r.block = nil, ""
		if r.size > skipFactor*c.srv.limits().MaxParamsSize {
			return &protocolError{"params without end"}
		}
		return nil
	}
	if r.params == nil && r.block == "" && len(b) == c.remain {
		// Usually all params come in one record, and nothing has to be joined.
		r.block = string(b)
		return nil
	}
	if r.block != "" {
		r.params = append(make([]byte, 0, 2*len(r.block)+len(b)), r.block...)
		r.block = ""
	}
	r.params = append(r.params, b...)
	return nil
}
