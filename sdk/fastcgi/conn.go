package fastcgi

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/sdk/sockio"
)

// requestID is the id of every request of a Conn: there is one at a time.
const requestID = 1

// defaultReadBuffer holds the whole of a small answer.
const defaultReadBuffer = 8 << 10

// ConnOptions changes how a Conn works. The zero value is fine.
type ConnOptions struct {
	// Stderr gets what the application writes to STDERR, as it comes, called
	// from Read. The bytes are valid during the call only. Nil drops them.
	Stderr func([]byte)
	// Extended takes the trailers of an application whose Server is Extended.
	Extended bool
	// ReadBuffer is the size of the buffer for reading in bytes; 0 means 8 KiB.
	ReadBuffer int
}

// Conn is a web server's connection to an application. It carries one request
// at a time and can be kept for the next one.
//
// Reading (Read, Ended, EndRequest) belongs to one goroutine, writing STDIN
// (WriteStdin, ReadFrom, CloseStdin) to one, which may be another; Abort,
// Close and the deadlines may be called from any.
type Conn struct {
	nc       net.Conn
	io       *sockio.Conn // reads and writes nc
	vec      vecReader
	stderr   func([]byte)
	extended bool

	// The request.
	started   bool
	keep      bool
	sent      atomic.Bool // the application may have the whole request head
	stdinDone atomic.Bool
	answered  bool
	ended     atomic.Bool
	appStatus uint32
	status    ProtocolStatus

	// Reading: rbuf[r:w] is what came and was not looked at.
	rbuf    []byte
	r, w    int
	kind    recordType
	remain  int // content of the current record that was not taken yet
	padding int
	readErr error
	tail    []byte // content of TRAILERS

	// Writing.
	wmu      sync.Mutex
	wbuf     []byte
	parts    [][]byte
	bufs     net.Buffers
	stream   []byte
	writeErr error

	peekFn func(fd uintptr)
	peeked bool
}

// errBusy and errIdle are the caller's mistakes.
var (
	errBusy = errors.New("the connection has a request under way")
	errIdle = errors.New("the connection has no request under way")
)

// NewConn makes a Conn of nc, which belongs to it from now on.
func NewConn(nc net.Conn, o ConnOptions) *Conn {
	size := o.ReadBuffer
	if size <= 0 {
		size = defaultReadBuffer
	}
	c := &Conn{nc: nc, io: sockio.New(nc), stderr: o.Stderr, extended: o.Extended, rbuf: make([]byte, max(size, 512))}
	c.vec.init(nc)
	c.peekFn = c.peek
	return c
}

// SetStderr replaces what gets the STDERR of the next request. Call it between
// requests.
func (c *Conn) SetStderr(f func([]byte)) { c.stderr = f }

// NetConn returns the connection underneath, for its addresses. Reading from it
// or writing to it breaks the Conn.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Close closes the connection. A Read or Write that waits returns an error.
func (c *Conn) Close() error { return c.nc.Close() }

// SetDeadline sets the deadline of reads and writes, as net.Conn does. After
// one has passed in the middle of a record the connection is of no more use.
func (c *Conn) SetDeadline(t time.Time) error { return c.nc.SetDeadline(t) }

// SetReadDeadline sets the deadline of reads. A Read it ends may be repeated.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.nc.SetWriteDeadline(t) }

// Ended says that the end of the request has arrived and all of STDOUT was
// read: the next Read returns io.EOF without waiting.
func (c *Conn) Ended() bool { return c.ended.Load() }

// EndRequest returns what the application said at the end of the request. It
// is of use after Ended.
func (c *Conn) EndRequest() (appStatus uint32, status ProtocolStatus) {
	return c.appStatus, c.status
}

// Reusable says whether the connection can carry another request: the last one
// came to its end on both sides, and it was to be kept.
func (c *Conn) Reusable() bool {
	if c.readErr != nil || c.r != c.w || c.remain+c.padding > 0 {
		return false
	}
	if !c.started {
		return true
	}
	return c.keep && c.ended.Load() && c.stdinDone.Load()
}

// Alive looks whether a connection without a request under way is still good:
// the application has neither closed it nor sent anything. It does not wait
// and costs one system call.
func (c *Conn) Alive() bool {
	if c.vec.raw == nil {
		return true
	}
	c.peeked = false
	err := c.vec.raw.Control(c.peekFn) // not Read, which fails past an old deadline
	return err == nil && c.peeked
}

func (c *Conn) peek(fd uintptr) {
	_, errno := sockio.PeekFD(fd)
	c.peeked = errno == syscall.EAGAIN
}

// stage says how far the request has come.
func (c *Conn) stage() Stage {
	switch {
	case c.answered:
		return StageBroken
	case c.sent.Load():
		return StageUnanswered
	}
	return StageNotSent
}

// fail ends reading with err, which is kept. The connection is closed.
func (c *Conn) fail(err error) error {
	if errors.Is(err, io.EOF) {
		// EOF without END_REQUEST is a failed request, never its end.
		err = io.ErrUnexpectedEOF
	}
	c.readErr = &Error{Stage: c.stage(), Err: err}
	_ = c.nc.Close()
	return c.readErr
}
