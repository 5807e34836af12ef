package fastcgi

import (
	"io"
	"net"
	"syscall"
)

// vecReader reads from a connection into two slices with one system call, so
// that a large content goes straight into its reader's slice while the header
// that follows it goes into the buffer.
type vecReader struct {
	nc  net.Conn
	raw syscall.RawConn // nil when nc is not a plain socket

	// State of the call that is under way; fields so that it costs no
	// allocation.
	a, b  []byte
	wait  bool
	n     int
	errno syscall.Errno
	fn    func(fd uintptr) bool
}

func (v *vecReader) init(nc net.Conn) {
	v.nc = nc
	v.raw = rawConn(nc)
	v.fn = v.readv
}

// rawConn returns the socket of nc. Other types may read in their own way.
func rawConn(nc net.Conn) syscall.RawConn {
	if !vectorIO {
		return nil
	}
	var sc syscall.Conn
	switch c := nc.(type) {
	case *net.UnixConn:
		sc = c
	case *net.TCPConn:
		sc = c
	default:
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// read fills a, then b, with one read; b is left out when the connection
// cannot do it. It waits for the first byte.
func (v *vecReader) read(a, b []byte) (int, error) {
	if v.raw == nil || len(b) == 0 {
		return v.nc.Read(a)
	}
	return v.call(a, b, true)
}

// tryRead is read without waiting: 0, nil when nothing is there.
func (v *vecReader) tryRead(a, b []byte) (int, error) {
	if v.raw == nil {
		return 0, nil
	}
	return v.call(a, b, false)
}

func (v *vecReader) call(a, b []byte, wait bool) (int, error) {
	v.a, v.b, v.wait, v.n, v.errno = a, b, wait, 0, 0
	err := v.raw.Read(v.fn)
	v.a, v.b = nil, nil
	switch {
	case err != nil:
		return 0, err
	case v.errno == syscall.EAGAIN:
		return 0, nil
	case v.errno != 0:
		return 0, v.errno
	case v.n == 0:
		return 0, io.EOF
	}
	return v.n, nil
}
