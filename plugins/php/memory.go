package php

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// memory is that of a process.
type memory interface {
	// read fills p or fails.
	read(address uint64, p []byte) error
}

// processMemory reads that of a process that goes on running.
type processMemory int

var (
	errMoved  = errors.New("the script went on while its stack was read")
	errGone   = errors.New("the process has ended")
	errDenied = errors.New("no permission to read the memory of php-cgi: the plugin must run as the same user and, where kernel.yama.ptrace_scope is 1, " +
		"be an ancestor (children that have lost their php-cgi parent are nobody's); where it is 2 or 3, run the server as root or set it to 1")
)

func (pid processMemory) read(address uint64, p []byte) error {
	local := []unix.Iovec{{Base: &p[0]}}
	local[0].SetLen(len(p))
	n, err := unix.ProcessVMReadv(int(pid), local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(p)}}, 0)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS): // ENOSYS: a filter of system calls
		return fmt.Errorf("%w (%w)", errDenied, err)
	case errors.Is(err, unix.ESRCH):
		return errGone
	case err != nil, n != len(p):
		return errMoved
	}
	return nil
}

// A pointer of a process is above the first page and below the kernel's half,
// which begins at 1<<56 at the latest (x86-64 with five levels).
const (
	lowestPointer = 1 << 12
	aboveHighest  = 1 << 56
)

func pointer(address uint64) bool {
	return address >= lowestPointer && address < aboveHighest && address%8 == 0
}

// readBytes reads n bytes at what must be a pointer to a struct.
func readBytes(m memory, address uint64, n int) ([]byte, error) {
	if !pointer(address) {
		return nil, errMoved
	}
	p := make([]byte, n)
	return p, m.read(address, p)
}

// readPointer reads the pointer at an offset of a struct.
func readPointer(m memory, address, offset uint64) (uint64, error) {
	if !pointer(address) {
		return 0, errMoved
	}
	p, err := readBytes(m, address+offset, 8)
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(p), nil
}
