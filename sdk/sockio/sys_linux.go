//go:build linux && !race

package sockio

import (
	"syscall"
	"unsafe"
)

const (
	available = true
	sysRead   = syscall.SYS_READ
	sysWrite  = syscall.SYS_WRITE
)

// call does a read or write; p has at least one byte.
func call(trap, fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
