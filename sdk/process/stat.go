package process

import (
	"bytes"
	"errors"
	"os"
	"strconv"
)

var errStat = errors.New("malformed /proc/PID/stat")

// stat is what we need of /proc/PID/stat (proc_pid_stat(5)).
type stat struct {
	state  byte
	parent int
	group  int
	start  uint64
}

func (s stat) ended() bool { return s.state == 'Z' || s.state == 'X' }

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

// parseStat starts behind the last ')': the name before it may hold anything.
func parseStat(b []byte) (stat, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return stat{}, errStat
	}
	f := bytes.Fields(b[end+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return stat{}, errStat
	}
	parent, err1 := strconv.Atoi(string(f[1]))
	group, err2 := strconv.Atoi(string(f[2]))
	start, err3 := strconv.ParseUint(string(f[19]), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return stat{}, errStat
	}
	return stat{state: f[0][0], parent: parent, group: group, start: start}, nil
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
		if s, err := readStat(child); err == nil && s.parent == pid && s.group == child && !s.ended() {
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
			s, err := readStat(pid)
			if err != nil || s.parent <= 1 {
				break
			}
			pid = s.parent
		}
	}
	return false
}
