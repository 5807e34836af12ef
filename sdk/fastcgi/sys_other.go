//go:build !linux

package fastcgi

import "syscall"

const vectorIO = false

func (v *vecReader) readv(uintptr) bool { return true }

func peek(uintptr) (int, syscall.Errno) { return 0, syscall.EAGAIN }

func hungUp(uintptr) bool { return true }
