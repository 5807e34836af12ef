package sockio

import (
	"syscall"
	"unsafe"
)

// PeekFD is Peek for a socket's descriptor.
func PeekFD(fd uintptr) (int, syscall.Errno) {
	var b [1]byte
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b)), 1,
			syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		if errno != syscall.EINTR {
			return int(n), errno
		}
	}
}
