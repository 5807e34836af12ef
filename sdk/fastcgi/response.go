package fastcgi

import (
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// outSize is the buffer of a response: a smaller one is written with its
	// END_REQUEST in one system call.
	outSize = 16 << 10
	// outMax is how much content it holds beside header, padding, the end of
	// STDOUT and END_REQUEST.
	outMax = outSize - headerLen - 7 - headerLen - endLen
	// batch bounds what one write has to get through before WriteTimeout.
	batch = 16 * chunk
)

// ResponseWriter takes the answer to one request. Its methods may be called
// from several goroutines, until the handler returns.
type ResponseWriter struct {
	r *Request

	mu        sync.Mutex
	array     *[outSize]byte
	buf       []byte // of array: a header's place, then content of STDOUT
	err       error
	aborted   atomic.Bool
	sent      bool // some of STDOUT has left
	noStderr  bool
	appStatus uint32
	deadline  time.Time
	tail      []byte // content of TRAILERS
}

// Write writes to STDOUT, by way of a buffer. The answer starts with a CGI
// response head (RFC 3875, section 6). After an error the web server is gone.
func (w *ResponseWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	w.prepare()
	if len(w.buf)-headerLen+len(p) <= outMax {
		w.buf = append(w.buf, p...)
		return len(p), nil
	}
	n := 0
	if len(p) < outMax {
		n = copy(w.buf[len(w.buf):headerLen+outMax], p)
		w.buf = w.buf[:len(w.buf)+n]
		p = p[n:]
	}
	// What is large goes out from where it is, in multiples of 8; the rest
	// waits for more.
	large := 0
	if len(p) >= outMax {
		large = len(p) &^ 7
	}
	if err := w.send(p[:large]); err != nil {
		return 0, err
	}
	w.prepare()
	w.buf = append(w.buf, p[large:]...)
	return n + len(p), nil
}

// WriteString is Write.
func (w *ResponseWriter) WriteString(s string) (int, error) {
	w.mu.Lock()
	if w.err == nil {
		w.prepare()
		if len(w.buf)-headerLen+len(s) <= outMax {
			w.buf = append(w.buf, s...)
			w.mu.Unlock()
			return len(s), nil
		}
	}
	w.mu.Unlock()
	return w.Write([]byte(s))
}

// ReadFrom writes what src has to STDOUT, reading it into the buffer.
func (w *ResponseWriter) ReadFrom(src io.Reader) (int64, error) {
	var total int64
	for {
		// Nothing is locked while src is waited for.
		array := w.takeArray()
		n, err := src.Read(array[headerLen : headerLen+outMax])
		total += int64(n)
		if werr := w.adopt(array, n); werr != nil {
			return total, werr
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// adopt appends the n bytes behind the header's place of array, or takes array
// for the buffer.
func (w *ResponseWriter) adopt(array *[outSize]byte, n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && len(w.buf) > headerLen {
		if len(w.buf)-headerLen+n <= outMax {
			w.buf = append(w.buf, array[headerLen:headerLen+n]...)
			n = 0
		} else if err := w.send(nil); err != nil {
			n = 0
		}
	}
	if w.err != nil || n == 0 {
		w.r.conn.srv.state.buffers.Put(array)
		return w.err
	}
	w.release()
	w.array, w.buf = array, array[:headerLen+n]
	return nil
}

func (w *ResponseWriter) takeArray() *[outSize]byte {
	array, _ := w.r.conn.srv.state.buffers.Get().(*[outSize]byte)
	if array == nil {
		array = new([outSize]byte)
	}
	return array
}

// Flush sends what is buffered.
func (w *ResponseWriter) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || len(w.buf) <= headerLen {
		return w.err
	}
	return w.send(nil)
}

// SetAppStatus sets the appStatus of END_REQUEST; it is 0 otherwise.
func (w *ResponseWriter) SetAppStatus(status int) {
	w.mu.Lock()
	w.appStatus = uint32(status)
	w.mu.Unlock()
}

// Abort gives the answer up: what is buffered is dropped, and when the handler
// returns the connection is closed without END_REQUEST, after other requests
// on it are answered. That is how a web server sees that a response is cut;
// they ignore the status of END_REQUEST.
func (w *ResponseWriter) Abort() {
	w.aborted.Store(true)
	w.mu.Lock()
	w.err = ErrAbortedByHandler
	w.release()
	w.mu.Unlock()
}

// SetReadDeadline makes reads of STDIN and DATA fail from t on; the zero time
// takes it back.
func (w *ResponseWriter) SetReadDeadline(t time.Time) error {
	w.r.stdin.setDeadline(t)
	w.r.data.setDeadline(t)
	return nil
}

// SetWriteDeadline makes writes fail from t on, beside WriteTimeout; the zero
// time takes it back. A write that fails ends the connection.
func (w *ResponseWriter) SetWriteDeadline(t time.Time) error {
	c := w.r.conn
	if c.writing.Load() == w.r && !t.IsZero() {
		// Under way: w.mu is taken.
		c.writeOff.Store(true)
		return c.nc.SetWriteDeadline(t)
	}
	w.mu.Lock()
	w.deadline = t
	w.mu.Unlock()
	return nil
}

// Stderr writes to the web server's error log, unbuffered.
func (w *ResponseWriter) Stderr() io.Writer { return (*stderrWriter)(w) }

type stderrWriter ResponseWriter

// Write writes STDERR records.
func (s *stderrWriter) Write(p []byte) (int, error) {
	w := (*ResponseWriter)(s)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return 0, w.err
	case w.noStderr || len(p) == 0:
		return len(p), nil
	}
	if err := w.r.conn.writeStream(nil, typeStderr, w.r, p, w.deadline); err != nil {
		return 0, w.fail(err)
	}
	return len(p), nil
}

// endStderr sends the end of STDERR.
func (w *ResponseWriter) endStderr() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.noStderr {
		return
	}
	w.noStderr = true
	_ = w.r.conn.writeRecord(typeStderr, w.r.id, nil)
}

// prepare gets a buffer. w.mu is held, here and below.
func (w *ResponseWriter) prepare() {
	if w.buf != nil {
		return
	}
	if w.array == nil {
		w.array = w.takeArray()
	}
	w.buf = w.array[:headerLen]
}

func (w *ResponseWriter) release() {
	if w.array != nil {
		w.r.conn.srv.state.buffers.Put(w.array)
		w.array, w.buf = nil, nil
	}
}

// seal makes a record of what is buffered and returns it, nil when there is
// nothing.
func (w *ResponseWriter) seal() []byte {
	n := len(w.buf) - headerLen
	if n <= 0 {
		return nil
	}
	putHeader(w.buf, typeStdout, w.r.id, n, pad(n))
	return appendPadding(w.buf, pad(n))
}

// send writes what is buffered and then large.
func (w *ResponseWriter) send(large []byte) error {
	b := w.seal()
	w.buf, w.sent = nil, true
	if err := w.r.conn.writeStream(b, typeStdout, w.r, large, w.deadline); err != nil {
		return w.fail(err)
	}
	return nil
}

func (w *ResponseWriter) fail(err error) error {
	w.err = err
	w.release()
	return err
}

// finish sends the rest, the end of STDOUT (section 6.1) and END_REQUEST.
func (w *ResponseWriter) finish(aborted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || aborted {
		w.err = ErrHandlerDone
		w.release()
		return
	}
	w.err = ErrHandlerDone
	w.prepare()
	b := w.seal()
	if b == nil {
		b = w.array[:0]
	}
	b = appendHeader(b, typeStdout, w.r.id, 0, 0)
	for rest := w.tail; len(rest) > 0; rest = rest[min(len(rest), chunk):] {
		b = appendRecord(b, typeTrailers, w.r.id, rest[:min(len(rest), chunk)])
	}
	b = appendEnd(b, w.r.id, w.appStatus, RequestComplete)
	_ = w.r.conn.write(b, w.r, w.deadline)
	w.release()
}

// mark returns where in the buffer the next byte goes, 0 when some of it has
// left.
func (w *ResponseWriter) mark() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent {
		return 0
	}
	return len(w.buf)
}

// insertLength puts a Content-Length at a mark, if nothing has left since and
// there is room.
func (w *ResponseWriter) insertLength(mark int, length int64) {
	var line [64]byte
	b := append(line[:0], "Content-Length: "...)
	b = strconv.AppendInt(b, length, 10)
	b = append(b, '\r', '\n')
	w.mu.Lock()
	defer w.mu.Unlock()
	if mark == 0 || w.sent || w.err != nil || len(w.buf)-headerLen+len(b) > outMax {
		return
	}
	w.buf = slices.Insert(w.buf, mark, b...)
}
