package fastcgi

import (
	"io"
	"os"
	"time"
)

// stream is STDIN or DATA of a request. What has come and was not read waits
// in buf. Its fields are guarded by conn.mu.
type stream struct {
	r   *Request
	buf []byte
	off int
	err error // io.EOF at the end of the stream

	expired bool
	timer   *time.Timer
}

func (s *stream) waiting() int { return len(s.buf) - s.off }

// Read implements io.Reader for the handler. It reads from the connection
// itself while nobody else does, so that a body is copied once and no other
// goroutine has to run.
func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r := s.r
	c := r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case r.finished:
			return 0, ErrHandlerDone
		case s.expired:
			return 0, os.ErrDeadlineExceeded
		case s.waiting() > 0:
			n := copy(p, s.buf[s.off:])
			s.off += n
			if s.off == len(s.buf) {
				s.buf, s.off = s.buf[:0], 0
			}
			if c.stalled == s {
				r.changed.Broadcast()
			}
			return n, nil
		case s.err != nil:
			return 0, s.err
		case c.inline == r && !c.reading:
			if n := c.pump(s, p); n > 0 {
				return n, nil
			}
		default:
			r.changed.Wait()
		}
	}
}

// put keeps what came; the reader has seen to it that there is room.
func (s *stream) put(b []byte) {
	if s.off > 0 && len(s.buf)+len(b) > cap(s.buf) {
		s.buf = s.buf[:copy(s.buf, s.buf[s.off:])]
		s.off = 0
	}
	s.buf = append(s.buf, b...)
	s.r.changed.Broadcast()
}

// end ends the stream; the first error stays.
func (s *stream) end(err error) {
	if s.err == nil {
		s.err = err
		s.r.changed.Broadcast()
	}
}

// stop ends the stream from the handler's side.
func (s *stream) stop(err error) {
	c := s.r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.end(err)
	if c.inline == s.r && c.reading {
		c.kick()
	}
}

// setDeadline makes Read fail from t on; the zero time takes it back.
func (s *stream) setDeadline(t time.Time) {
	c := s.r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.expired = false
	if t.IsZero() || s.r.finished {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(t), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if s.timer != timer {
			return
		}
		s.expired = true
		s.r.changed.Broadcast()
		if c.inline == s.r && c.reading {
			c.kick()
		}
	})
	s.timer = timer
}

// inputError is what a handler that reads on gets when cause has ended its
// request: a body that was cut must never look complete.
func inputError(cause error) error { return &cutError{cause} }

type cutError struct{ cause error }

func (e *cutError) Error() string   { return "STDIN was cut off: " + e.cause.Error() }
func (e *cutError) Unwrap() []error { return []error{e.cause, io.ErrUnexpectedEOF} }
