//go:build !linux

package sockio

import "syscall"

// PeekFD is Peek for a socket's descriptor; here it never learns anything.
func PeekFD(uintptr) (int, syscall.Errno) { return 0, syscall.EAGAIN }
