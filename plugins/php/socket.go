package php

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// listen makes the unix socket name, mode 0600, and returns it as a file in
// blocking mode: php-cgi's accept loop takes EAGAIN for a failure, so a
// listener of package net cannot be used.
func listen(name string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("bind %s (%d bytes, at most 107 fit): %w", name, len(name), err)
	}
	// Before listen nobody can connect, so the mode holds from the start.
	if err := os.Chmod(name, 0o600); err != nil {
		_ = f.Close()
		return nil, err
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("listen %s: %w", name, err)
	}
	return f, nil
}
