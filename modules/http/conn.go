package http

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/sdk/sockio"
)

// listener bounds how many connections are open, and gives each a deadline
// for every write, so that a client which takes nothing is let go while one
// that is merely slow is not; http.Server.WriteTimeout would bound the whole
// response. (netutil.LimitListener would hide the connection's ReadFrom, and
// with it sendfile.)
type listener struct {
	net.Listener
	write  time.Duration
	places chan struct{}
	closed chan struct{}
	once   sync.Once
	// unanswered are the *timedConn whose first request has not come.
	unanswered sync.Map
}

func newListener(l net.Listener, most int, write time.Duration) *listener {
	return &listener{Listener: l, write: write, places: make(chan struct{}, most), closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	default:
		select {
		case l.places <- struct{}{}:
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
	c, err := l.Listener.Accept() // closed, it may still have one in hand
	if err != nil {
		<-l.places
		return nil, err
	}
	t := &timedConn{Conn: c, reader: newReader(c), write: l.write}
	boundUnsent(c)
	t.answered = sync.OnceFunc(func() { l.unanswered.Delete(t) })
	t.leave = sync.OnceFunc(func() { <-l.places })
	l.unanswered.Store(t, true)
	return t, nil
}

// boundUnsent sets TCP_NOTSENT_LOWAT (tcp(7)). Without it the connection works
// as well, so an error does not matter.
func boundUnsent(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentMost)
			})
		}
	}
}

// awaitFirst waits until the first request of every connection is being answered:
// once http.Server.Shutdown has begun, net/http drops a request it has just read.
// Connections that say nothing, as a browser's preconnect, are closed after
// silentGrace; Shutdown would wait 5 s for one. The end of ctx ends the wait.
func (l *listener) awaitFirst(ctx context.Context) {
	tick := time.NewTicker(firstPoll)
	defer tick.Stop()
	for began := time.Now(); ; {
		waiting := false
		l.unanswered.Range(func(c, _ any) bool {
			t := c.(*timedConn) //nolint:forcetypeassert // nothing else is stored
			if time.Since(began) > silentGrace && !t.heard.Load() && !t.arrived() {
				_ = t.Close()
			} else {
				waiting = true
			}
			return true
		})
		if !waiting {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

const (
	// silentGrace is many times what a client on a slow line, or a busy machine, needs
	// between its connection and its request.
	silentGrace = time.Second
	firstPoll   = 5 * time.Millisecond
)

// arrived says whether bytes from the client wait to be read.
func (c *timedConn) arrived() bool {
	n, err := sockio.Peek(c.Conn)
	return err == nil && n > 0
}

func (l *listener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { close(l.closed) })
	if errors.Is(err, net.ErrClosed) { // its owner was first
		return nil
	}
	return err
}

type timedConn struct {
	net.Conn
	reader *reader // of Conn
	write  time.Duration
	leave  func() // gives the place back
	// answered is called when the first request is handled.
	answered func()
	heard    atomic.Bool // some bytes have come
	until    time.Time   // the write deadline
}

func (c *timedConn) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	return n, err
}

// CloseWrite lets net/http end a response whose request it does not read.
func (c *timedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// resetOnClose makes the close an error for the client.
func (c *timedConn) resetOnClose() {
	if tcp, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
}

func (c *timedConn) Close() error {
	err := c.Conn.Close()
	c.answered()
	c.leave()
	return err
}

// sendChunk is how much of a file one deadline covers; unsentMost is how much
// the kernel takes that is not on its way yet. With its own bound of several
// MiB a slow client's connection takes nothing for minutes, then much at once.
const (
	sendChunk  = 64 << 10
	unsentMost = 128 << 10
)

func (c *timedConn) Write(p []byte) (int, error) {
	if err := c.allowWrite(); err != nil {
		return 0, err
	}
	return c.reader.io.Write(p)
}

// allowWrite sees to it that at least c.write is left for the next write. The
// deadline is set half as far again, so that a busy connection sets it seldom.
func (c *timedConn) allowWrite() error {
	now := time.Now()
	if c.until.Sub(now) >= c.write {
		return nil
	}
	c.until = now.Add(c.write + c.write/2)
	return c.Conn.SetWriteDeadline(c.until)
}

// SetReadDeadline is net.Conn's.
func (c *timedConn) SetReadDeadline(t time.Time) error { return c.reader.SetReadDeadline(t) }

// SetWriteDeadline is for who takes the connection over (WebSocket).
func (c *timedConn) SetWriteDeadline(t time.Time) error {
	c.until = time.Time{}
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline is for who takes the connection over; net/http calls it when it gives
// the connection away, and at no other time.
func (c *timedConn) SetDeadline(t time.Time) error {
	c.reader.take()
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// ReadFrom keeps the kernel's way from a file to a socket (sendfile) open.
func (c *timedConn) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	limited, bounded := r.(*io.LimitedReader)
	if !bounded {
		limited = &io.LimitedReader{R: r, N: 1<<63 - 1}
	}
	for limited.N > 0 {
		if err := c.allowWrite(); err != nil {
			return total, err
		}
		want := min(limited.N, sendChunk)
		n, err := io.Copy(c.Conn, &io.LimitedReader{R: limited.R, N: want})
		total += n
		limited.N -= n
		if err != nil || n < want {
			return total, err
		}
	}
	return total, nil
}
