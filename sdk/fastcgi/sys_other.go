//go:build !linux

package fastcgi

const vectorIO = false

func (v *vecReader) readv(uintptr) bool { return true }

func hungUp(uintptr) bool { return true }
