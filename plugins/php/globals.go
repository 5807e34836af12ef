package php

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// programs remembers where in executables PHP's globals are.
type programs struct {
	mu    sync.Mutex
	known map[programKey]program
}

// programKey is an executable as it is now.
type programKey struct {
	device, inode uint64
	size          int64
	changed       int64
}

// program is what an executable says of itself, in its own addresses.
type program struct {
	globals uint64 // executor_globals
	headers uint64 // the program headers
	err     error
}

// programsKept bounds what is remembered; a worker has one executable, and
// another after each upgrade of PHP.
const programsKept = 8

// globals returns the address of executor_globals in a process. The
// executable is opened as the process has it, replaced on disk or not.
func (p *programs) globals(pid int) (uint64, error) {
	f, err := os.Open(procPath(pid, "exe"))
	if err != nil {
		return 0, procError(err)
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return 0, procError(err)
	}
	key := programKey{size: st.Size(), changed: st.ModTime().UnixNano()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		key.device, key.inode = sys.Dev, sys.Ino
	}
	p.mu.Lock()
	found, ok := p.known[key]
	p.mu.Unlock()
	if !ok {
		found = readProgram(f)
		p.mu.Lock()
		if p.known == nil || len(p.known) >= programsKept {
			p.known = map[programKey]program{}
		}
		p.known[key] = found
		p.mu.Unlock()
	}
	if found.err != nil {
		return 0, found.err
	}
	loaded, err := loadedHeaders(pid)
	if err != nil {
		return 0, err
	}
	return loaded - found.headers + found.globals, nil
}

// readProgram looks into an ELF file.
func readProgram(f *os.File) program {
	file, err := elf.NewFile(f)
	if err != nil {
		return program{err: fmt.Errorf("the program of php-cgi cannot be read: %w", err)}
	}
	if file.Class != elf.ELFCLASS64 {
		return program{err: errors.New("the stack of a 32 bit PHP cannot be read")}
	}
	var p program
	for _, header := range file.Progs {
		if header.Type == elf.PT_PHDR {
			p.headers = header.Vaddr
		}
	}
	symbols, _ := file.DynamicSymbols() // none is told below
	threads := false
	for _, s := range symbols {
		switch {
		case s.Name == "executor_globals" && s.Section != elf.SHN_UNDEF:
			p.globals = s.Value
		case s.Name == "executor_globals_offset":
			threads = true
		}
	}
	switch {
	case threads:
		p.err = errors.New("the stack of a thread-safe PHP (ZTS) cannot be read: use a build without thread safety, as distributions have it for php-cgi")
	case p.globals == 0 || p.headers == 0:
		p.err = errors.New("php-cgi does not export executor_globals, so its stack cannot be found: use the php-cgi of a distribution, which is not stripped of its exported symbols")
	}
	return p
}

// loadedHeaders returns where the program headers of a process are
// (getauxval(3), AT_PHDR), which tells its load address.
func loadedHeaders(pid int) (uint64, error) {
	const headers = 3 // AT_PHDR
	b, err := os.ReadFile(procPath(pid, "auxv"))
	if err != nil {
		return 0, procError(err)
	}
	for ; len(b) >= 16; b = b[16:] {
		if binary.NativeEndian.Uint64(b) == headers {
			return binary.NativeEndian.Uint64(b[8:]), nil
		}
	}
	return 0, errGone // a zombie's is empty
}

// procError makes a sentence of an error about a file of /proc.
func procError(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return errDenied
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH):
		return errGone
	}
	return fmt.Errorf("/proc: %w", err)
}
