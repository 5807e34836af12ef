package http

import (
	"io"
	"net"
	"sync"
	"time"
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
}

func newListener(l net.Listener, most int, write time.Duration) *listener {
	return &listener{Listener: l, write: write, places: make(chan struct{}, most), closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &timedConn{Conn: c, write: l.write, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type timedConn struct {
	net.Conn
	write time.Duration
	leave func()
}

func (c *timedConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}

// sendChunk is how much of a file one deadline covers.
const sendChunk = 1 << 20

func (c *timedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// ReadFrom keeps the kernel's way from a file to a socket (sendfile) open.
func (c *timedConn) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	limited, bounded := r.(*io.LimitedReader)
	if !bounded {
		limited = &io.LimitedReader{R: r, N: 1<<63 - 1}
	}
	for limited.N > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
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
