package process

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

var errStat = errors.New("malformed /proc/PID/stat")

// Stat is a part of /proc/PID/stat (proc_pid_stat(5)).
type Stat struct {
	// State is a letter: 'R', 'S', 'Z'.
	State byte
	// Parent and Group are the numbers of the parent and of the process group.
	Parent, Group int
	// Start is when the process started, in clock ticks since boot; it tells two
	// processes apart that had the same number.
	Start uint64
}

// Ended reports whether the process is dead and only waits to be collected.
func (s Stat) Ended() bool { return s.State == 'Z' || s.State == 'X' }

// ticks is USER_HZ, 100 on every architecture that Go runs on.
const ticks = 100

// StartTime is Start on the clock; zero when that cannot be told.
func (s Stat) StartTime() time.Time {
	var boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(s.Start)*(time.Second/ticks) - time.Duration(boot.Nano()))
}

// ReadStat reads it; the error is os.ErrNotExist for a process that is gone.
func ReadStat(pid int) (Stat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Stat{}, err
	}
	return parseStat(b)
}

// parseStat starts behind the last ')': the name before it may hold anything.
func parseStat(b []byte) (Stat, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return Stat{}, errStat
	}
	f := bytes.Fields(b[end+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return Stat{}, errStat
	}
	parent, err1 := strconv.Atoi(string(f[1]))
	group, err2 := strconv.Atoi(string(f[2]))
	start, err3 := strconv.ParseUint(string(f[19]), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return Stat{}, errStat
	}
	return Stat{State: f[0][0], Parent: parent, Group: group, Start: start}, nil
}

func allPIDs() []int {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ChildGroups lists the process groups that a process's own children lead.
func ChildGroups(pid int) []int {
	var groups []int
	for _, child := range allPIDs() {
		if s, err := ReadStat(child); err == nil && s.Parent == pid && s.Group == child && !s.Ended() {
			groups = append(groups, child)
		}
	}
	return groups
}

// descentDepth bounds the walk up the parents.
const descentDepth = 32

// Descends reports whether process group g was started by ancestor: whether
// one of its members has it among its parents.
func (g Group) Descends(ancestor int) bool {
	for _, pid := range g.Members() {
		for range descentDepth {
			if pid == ancestor {
				return true
			}
			s, err := ReadStat(pid)
			if err != nil || s.Parent <= 1 {
				break
			}
			pid = s.Parent
		}
	}
	return false
}

// CPUTime is the processor time that a process has used, by its CPU clock
// (clock_getcpuclockid(3)), which knows nanoseconds where /proc/PID/stat has
// hundredths of a second; 0 when it is gone.
func CPUTime(pid int) time.Duration {
	const scheduler = 2 // CPUCLOCK_SCHED of linux/posix-timers_types.h
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|scheduler), &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
