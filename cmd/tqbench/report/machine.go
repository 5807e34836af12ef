package report

import (
	"bytes"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/cmd/tqbench/result"
)

// ThisMachine describes where the benchmark runs. What cannot be read is left
// empty: none of it is worth a failure.
func ThisMachine(versions map[string]string) result.Machine {
	first := func(file, pattern string) string {
		text, _ := os.ReadFile(file)
		if m := regexp.MustCompile(pattern).FindSubmatch(text); m != nil {
			return strings.TrimSpace(string(m[1]))
		}
		return ""
	}
	m := result.Machine{
		CPU: first("/proc/cpuinfo", `(?m)^model name\s*:\s*(.*)$`), Cores: runtime.NumCPU(),
		System: first("/etc/os-release", `(?m)^PRETTY_NAME="?([^"\n]*)`),
		Load:   first("/proc/loadavg", `^(\S+ \S+ \S+)`), Versions: versions,
	}
	if kb, err := strconv.ParseInt(first("/proc/meminfo", `(?m)^MemTotal:\s*(\d+) kB`), 10, 64); err == nil {
		m.Memory = kb << 10
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = string(bytes.TrimRight(u.Release[:], "\x00"))
	}
	return m
}
