package backend

import (
	"errors"
	"regexp"
	"strconv"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/process"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// isolationSettings bound the processes that run the application.
type isolationSettings struct {
	Files        *int            `conf:"files" doc:"How many descriptors each process may have open (RLIMIT_NOFILE)." unit:"descriptors" source:"none: the server's own, as PHP-FPM's rlimit_files"`
	Core         *settings.Bytes `conf:"core" doc:"Largest core dump of each process (RLIMIT_CORE); 0 means no dump." source:"none: the server's own, as PHP-FPM's rlimit_core"`
	AddressSpace *settings.Bytes `conf:"address_space" doc:"Most address space of each process, with what is shared and only reserved (RLIMIT_AS)." source:"none: the server's own"`
	Nice         *int            `conf:"nice" doc:"From -20, served first, to 19; below the server's own it needs root." unit:"steps" source:"none: the server's own, as PHP-FPM's process.priority"`
	Cgroup       cgroupSettings  `conf:"cgroup" doc:"Limits of all processes of the worker together, by a control group (cgroup v2) that the server may write."`
}

type cgroupSettings struct {
	Memory    settings.Bytes `conf:"memory" doc:"Most memory, file cache included (memory.max); a process is killed when it does not suffice. 0 means no limit." source:"none: no limit, as the kernel's memory.max"`
	CPU       percent        `conf:"cpu" doc:"Processor time (cpu.max), as a quoted percentage of one processor: \"150%\" is one and a half. \"0%\" means no limit." source:"none: no limit, as the kernel's cpu.max"`
	Processes int            `conf:"processes" doc:"Most processes and threads (pids.max). 0 means no limit." unit:"processes" source:"none: no limit, as the kernel's pids.max"`
}

// percent of one processor's time, written "150%" as in systemd's CPUQuota.
type percent int

var percentPattern = regexp.MustCompile(`^([0-9]{1,6})%$`)

// MarshalText writes it with the sign.
func (p percent) MarshalText() ([]byte, error) { return []byte(strconv.Itoa(int(p)) + "%"), nil }

// UnmarshalText reads a whole number and the sign. One percent is the least
// that cpu.max takes: 1 ms in its period of 100 ms.
func (p *percent) UnmarshalText(text []byte) error {
	m := percentPattern.FindSubmatch(text)
	if m == nil {
		return errors.New(`is not a percentage of one processor; write a whole number with its sign: "150%"`)
	}
	n, err := strconv.Atoi(string(m[1]))
	*p = percent(n)
	return err
}

// fewestFiles is what php-cgi and a Go worker need to start and to answer.
const fewestFiles = 32

// Validate checks the bounds.
func (s *isolationSettings) Validate() []settings.Problem {
	var bad []settings.Problem
	say := func(path, message string) { bad = append(bad, settings.Problem{Path: path, Message: message}) }
	if s.Files != nil && *s.Files < fewestFiles {
		say("files", "must be at least 32: fewer do not suffice to start")
	}
	if s.Core != nil && *s.Core < 0 {
		say("core", "must not be below 0")
	}
	if s.AddressSpace != nil && *s.AddressSpace <= 0 {
		say("address_space", "must be above 0")
	}
	if s.Nice != nil && (*s.Nice < -20 || *s.Nice > 19) {
		say("nice", "must be from -20 to 19")
	}
	if s.Cgroup.Memory < 0 {
		say("cgroup.memory", "must not be below 0")
	}
	if s.Cgroup.Processes < 0 {
		say("cgroup.processes", "must not be below 0")
	}
	return bad
}

func (s *isolationSettings) limits() process.Limits {
	return process.Limits{Files: unsigned(s.Files), Core: unsigned(s.Core), AddressSpace: unsigned(s.AddressSpace), Nice: s.Nice}
}

func unsigned[T ~int | ~int64](value *T) *uint64 {
	if value == nil {
		return nil
	}
	u := uint64(*value)
	return &u
}

func (s *isolationSettings) cgroup() api.CgroupLimits {
	return api.CgroupLimits{
		Memory: int64(s.Cgroup.Memory), CPU: int(s.Cgroup.CPU) * 10, Processes: s.Cgroup.Processes,
	}
}
