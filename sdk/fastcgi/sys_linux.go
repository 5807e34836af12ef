package fastcgi

import (
	"syscall"
	"unsafe"
)

// vectorIO says that readv is at hand.
const vectorIO = true

// readv is called by the runtime with the descriptor until it returns true.
func (v *vecReader) readv(fd uintptr) bool {
	var iov [2]syscall.Iovec
	n := 0
	for _, s := range [2][]byte{v.a, v.b} {
		if len(s) > 0 {
			iov[n].Base = &s[0]
			iov[n].SetLen(len(s))
			n++
		}
	}
	for {
		got, _, errno := syscall.RawSyscall(syscall.SYS_READV, fd, uintptr(unsafe.Pointer(&iov)), uintptr(n))
		v.errno = errno
		if errno == syscall.EINTR {
			continue
		}
		if errno == 0 {
			v.n = int(got)
		}
		return errno != syscall.EAGAIN || !v.wait
	}
}

// Values of poll(2), which package syscall lacks.
const (
	pollErr = 0x8
	pollHup = 0x10
)

type pollFd struct {
	fd              int32
	events, revents int16
}

// hungUp says whether the peer of a socket has left altogether: closed it, not
// only stopped sending. At a TCP socket that shows only after a reset.
func hungUp(fd uintptr) bool {
	p := pollFd{fd: int32(fd)}
	var ts syscall.Timespec
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1,
		uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	return errno == 0 && p.revents&(pollErr|pollHup) != 0
}
