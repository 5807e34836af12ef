package process

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Limits of a process, which what it starts inherits. Nil leaves one alone.
type Limits struct {
	// Files is how many descriptors may be open (RLIMIT_NOFILE).
	Files *uint64
	// Core is the size of a core dump, AddressSpace that of all mappings, in
	// bytes (RLIMIT_CORE, RLIMIT_AS).
	Core, AddressSpace *uint64
	// Nice is from -20, served first, to 19; below the server's own it needs root.
	Nice *int
}

// Apply puts the limits on a process that runs already, and on nothing that it
// has started before.
func (l Limits) Apply(pid int) error {
	var errs []error
	for _, limit := range []struct {
		name     string
		resource int
		value    *uint64
	}{{"files", unix.RLIMIT_NOFILE, l.Files}, {"core", unix.RLIMIT_CORE, l.Core}, {"address_space", unix.RLIMIT_AS, l.AddressSpace}} {
		if limit.value == nil {
			continue
		}
		to := unix.Rlimit{Cur: *limit.value, Max: *limit.value}
		if err := unix.Prlimit(pid, limit.resource, &to, nil); err != nil {
			errs = append(errs, fmt.Errorf("limit %s of process %d to %d: %w", limit.name, pid, *limit.value, err))
		}
	}
	if l.Nice != nil {
		if err := unix.Setpriority(unix.PRIO_PROCESS, pid, *l.Nice); err != nil {
			errs = append(errs, fmt.Errorf("set nice of process %d to %d: %w", pid, *l.Nice, err))
		}
	}
	return errors.Join(errs...)
}
