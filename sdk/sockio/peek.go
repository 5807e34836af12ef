package sockio

import (
	"errors"
	"net"
	"syscall"
)

// Peek looks at the next byte of a connection without taking it or waiting: 1 when
// there is one, 0 at the end of the stream, and syscall.EAGAIN as the error when it
// is open and nothing has come. errors.ErrUnsupported is that of one that is no
// socket. It works past a deadline.
func Peek(nc net.Conn) (n int, err error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var errno syscall.Errno
	if err := raw.Control(func(fd uintptr) { n, errno = PeekFD(fd) }); err != nil {
		return 0, err
	}
	if errno != 0 {
		return 0, errno
	}
	return n, nil
}
