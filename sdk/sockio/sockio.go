package sockio

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// Conn reads from and writes to a connection. Several goroutines may call it, as
// net.Conn; deadlines and Close are the connection's own.
type Conn struct {
	nc  net.Conn
	raw syscall.RawConn // nil: nc reads and writes in its own way

	// State of the calls that are under way: fields, so that they cost no
	// allocation. Whoever holds the lock may wait for a long time.
	rmu   sync.Mutex
	rbuf  []byte
	rn    int
	rerr  syscall.Errno
	rcall func(fd uintptr) bool
	wmu   sync.Mutex
	wbuf  []byte
	wn    int
	werr  syscall.Errno
	wcall func(fd uintptr) bool
	// Of Ask, guarded by both.
	asking bool // the request is not written yet
	acall  func(fd uintptr) bool
}

// New returns a Conn of nc. Connections that are not plain sockets of package net
// (TLS, pipes) are read and written by their own methods.
func New(nc net.Conn) *Conn {
	c := &Conn{nc: nc}
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		if sc, ok := nc.(syscall.Conn); ok && available {
			c.raw, _ = sc.SyscallConn() // an error leaves nil
		}
	}
	c.rcall, c.wcall, c.acall = c.tryRead, c.tryWrite, c.tryAsk
	return c
}

// Read is net.Conn's Read.
func (c *Conn) Read(p []byte) (int, error) {
	if c.raw == nil || len(p) == 0 {
		return c.nc.Read(p)
	}
	c.rmu.Lock()
	defer c.rmu.Unlock()
	c.rbuf, c.rn, c.rerr = p, 0, 0
	return c.read(c.raw.Read(c.rcall))
}

// read is the end of a Read that ended with err.
func (c *Conn) read(err error) (int, error) {
	c.rbuf = nil
	switch {
	case err != nil:
		return 0, err
	case c.rerr != 0:
		return 0, c.failed("read", c.rerr)
	case c.rn == 0:
		return 0, io.EOF
	}
	return c.rn, nil
}

func (c *Conn) tryRead(fd uintptr) (done bool) {
	c.rn, c.rerr = call(sysRead, fd, c.rbuf)
	return c.rerr != syscall.EAGAIN
}

// Write is net.Conn's Write.
func (c *Conn) Write(p []byte) (int, error) {
	if c.raw == nil || len(p) == 0 {
		return c.nc.Write(p)
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.wbuf, c.wn, c.werr = p, 0, 0
	return c.wrote(c.raw.Write(c.wcall))
}

// wrote is the end of a Write that ended with err.
func (c *Conn) wrote(err error) (int, error) {
	c.wbuf = nil
	if err == nil && c.werr != 0 {
		err = c.failed("write", c.werr)
	}
	return c.wn, err
}

func (c *Conn) tryWrite(fd uintptr) (done bool) {
	for c.wn < len(c.wbuf) {
		n, errno := call(sysWrite, fd, c.wbuf[c.wn:min(len(c.wbuf), c.wn+most)])
		if errno == syscall.EAGAIN {
			return false
		}
		if errno != 0 {
			c.werr = errno
			return true
		}
		c.wn += n
	}
	return true
}

// most bounds one write: the scheduler does not know how long it takes.
const most = 256 << 10

func (c *Conn) failed(op string, errno syscall.Errno) error {
	return &net.OpError{
		Op: op, Net: c.nc.LocalAddr().Network(), Source: c.nc.LocalAddr(), Addr: c.nc.RemoteAddr(),
		Err: os.NewSyscallError(op, errno),
	}
}
