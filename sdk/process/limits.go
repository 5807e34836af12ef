package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"

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

// Any says whether there is one.
func (l Limits) Any() bool { return l != Limits{} }

// resource is one of the limits that the kernel knows by a number.
type resource struct {
	name   string
	number int
	value  *uint64
}

func (l Limits) resources() []resource {
	return []resource{{"files", unix.RLIMIT_NOFILE, l.Files}, {"core", unix.RLIMIT_CORE, l.Core}, {"address_space", unix.RLIMIT_AS, l.AddressSpace}}
}

// Apply puts the limits on a process that runs already, and on nothing that it
// has started before. Its errors say what is needed for more than the server's own.
func (l Limits) Apply(pid int) error {
	var errs []error
	for _, r := range l.resources() {
		if r.value == nil {
			continue
		}
		to := unix.Rlimit{Cur: *r.value, Max: *r.value}
		if err := unix.Prlimit(pid, r.number, &to, nil); err != nil {
			errs = append(errs, fmt.Errorf("limit %s of process %d to %d: %w", r.name, pid, *r.value, err))
		}
	}
	if l.Nice != nil {
		if err := setNice(pid, *l.Nice); err != nil {
			errs = append(errs, fmt.Errorf("set nice of process %d to %d: %w", pid, *l.Nice, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w; what is above the server's own limits needs root (systemd: LimitNOFILE=, LimitNICE=)", err)
	}
	return nil
}

// Permit lets a process give the limits to what it starts: a user's process
// may not go above what it was given itself. It changes nothing else, and needs
// root where it has something to do.
func (l Limits) Permit(pid int) error {
	var errs []error
	permit := func(name string, number int, value uint64) {
		var now unix.Rlimit
		err := unix.Prlimit(pid, number, nil, &now)
		if err == nil && now.Max < value {
			now.Max = value
			err = unix.Prlimit(pid, number, &now, nil)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("permit %s of process %d to be %d: %w", name, pid, value, err))
		}
	}
	for _, r := range l.resources() {
		if r.value != nil {
			permit(r.name, r.number, *r.value)
		}
	}
	if l.Nice != nil && *l.Nice < 0 {
		rlimit := uint64(20 - *l.Nice) // getrlimit(2), RLIMIT_NICE
		to := unix.Rlimit{Cur: rlimit, Max: rlimit}
		if err := unix.Prlimit(pid, unix.RLIMIT_NICE, &to, nil); err != nil {
			errs = append(errs, fmt.Errorf("permit nice of process %d to be %d: %w", pid, *l.Nice, err))
		}
	}
	return errors.Join(errs...)
}

// setNice sets it for every thread of the process: to Linux each has its own. A
// thread that starts meanwhile has its starter's, before or after the change, so
// there is a second round.
func setNice(pid, nice int) error {
	for range 2 {
		threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
		if err != nil {
			return err
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return err
			}
			if err := unix.Setpriority(unix.PRIO_PROCESS, id, nice); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}
