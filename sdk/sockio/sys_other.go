//go:build !linux

package sockio

import "syscall"

const (
	available = false
	sysRead   = 0
	sysWrite  = 0
)

// call is never called where nothing is available.
func call(uintptr, uintptr, []byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }
