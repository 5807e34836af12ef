// Package usage reads from /proc what a family of processes uses: CPU time,
// children that ended included, and memory.
package usage

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// tick is the unit of times in /proc/PID/stat: the kernel shows them to users
// in hundredths of a second whatever its own clock does (USER_HZ, proc(5)).
const tick = 10 * time.Millisecond

// Stat is what is wanted of /proc/PID/stat.
type Stat struct {
	PID, Parent int
	Name        string        // of the executable, 15 bytes at most
	Started     uint64        // ticks since boot; with PID, one process for ever
	CPU         time.Duration // user and system, of the process and of its children that were waited for
	Zombie      bool          // ended, not yet waited for
}

// Fields of /proc/PID/stat after the name, counted from 0 (proc(5) counts the
// first of them, the state, as 3).
const (
	fieldState  = 0
	fieldParent = 1
	fieldUser   = 11 // utime, stime, cutime, cstime
	fieldStart  = 19
	fieldsMin   = 20
)

// parseStat reads a line of /proc/PID/stat. The name stands in parentheses and
// may itself hold spaces and parentheses, so the last one ends it.
func parseStat(line []byte) (Stat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return Stat{}, fmt.Errorf("no name in parentheses: %.80q", line)
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	if err != nil {
		return Stat{}, fmt.Errorf("process id: %w", err)
	}
	fields := bytes.Fields(line[end+1:])
	if len(fields) < fieldsMin {
		return Stat{}, fmt.Errorf("%d fields after the name, want %d or more: %.80q", len(fields), fieldsMin, line)
	}
	s := Stat{PID: pid, Name: string(line[open+1 : end]), Zombie: fields[fieldState][0] == 'Z'}
	var errs []error
	number := func(i int) int64 {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		errs = append(errs, err)
		return n
	}
	s.Parent, s.Started = int(number(fieldParent)), uint64(number(fieldStart))
	for i := fieldUser; i < fieldUser+4; i++ {
		s.CPU += time.Duration(number(i)) * tick
	}
	if err := errors.Join(errs...); err != nil {
		return Stat{}, fmt.Errorf("reading %.80q: %w", line, err)
	}
	return s, nil
}

// parsePSS finds the proportional set size, in bytes, in the text of
// /proc/PID/smaps_rollup: memory shared by n processes counts a nth for each.
func parsePSS(text []byte) (int64, error) {
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte("Pss:"))
		if !ok {
			continue
		}
		number, ok := bytes.CutSuffix(bytes.TrimSpace(rest), []byte(" kB"))
		if !ok {
			return 0, fmt.Errorf("not in kB: %q", line)
		}
		kb, err := strconv.ParseInt(string(bytes.TrimSpace(number)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %q: %w", line, err)
		}
		return kb << 10, nil
	}
	return 0, errors.New("no line Pss")
}
