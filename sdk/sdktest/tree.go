package sdktest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"

	"github.com/mevdschee/tqserver/sdk/process"
)

// family is processes by number and start.
type family map[int]uint64

// descendants are pid and all processes below it.
func descendants(pid int) family {
	all := map[int]process.Stat{}
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		id, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if s, err := process.ReadStat(id); err == nil && !s.Ended() {
			all[id] = s
		}
	}
	found := family{}
	if s, ok := all[pid]; ok {
		found[pid] = s.Start
	}
	for grown := true; grown; {
		grown = false
		for id, s := range all {
			_, known := found[id]
			if _, below := found[s.Parent]; below && !known {
				found[id], grown = s.Start, true
			}
		}
	}
	return found
}

// alive are those that have not ended.
func (f family) alive() []int {
	var left []int
	for pid, start := range f {
		if s, err := process.ReadStat(pid); err == nil && !s.Ended() && s.Start == start {
			left = append(left, pid)
		}
	}
	return left
}

// resident is the memory of the family that is in RAM, in bytes, shared pages
// counted for each.
func (f family) resident() int64 {
	var total int64
	for pid := range f {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
		if fields := bytes.Fields(b); err == nil && len(fields) > 1 {
			pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			total += pages * int64(os.Getpagesize())
		}
	}
	return total
}

// pluginProcess is the child of ours that is the plugin, 0 while there is none.
func (s *suite) pluginProcess() int {
	for pid := range descendants(os.Getpid()) {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		stat, statErr := process.ReadStat(pid)
		if err == nil && statErr == nil && stat.Parent == os.Getpid() && bytes.Contains(env, []byte(s.mark)) {
			return pid
		}
	}
	return 0
}
