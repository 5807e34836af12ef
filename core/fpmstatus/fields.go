package fpmstatus

import (
	"strconv"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// field is one line of the page: its name as JSON has it, and its value.
type field struct {
	name   string
	text   string    // when it is text
	time   time.Time // when it is a time
	isTime bool
	exact  string // when it is a number, as it is written in every format
}

// moment is shown in the time zone of now; what is not known is 0.
func moment(name string, t, now time.Time) field {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	return field{name: name, time: t.In(now.Location()), isTime: true}
}

func number[T ~int | ~int64 | ~uint64](name string, n T) field {
	if n < 0 {
		n = 0
	}
	return field{name: name, exact: strconv.FormatUint(uint64(n), 10)}
}

// since is the difference of whole seconds, as FPM shows it; 0 when the start
// is not known.
func since(name string, start, now time.Time) field {
	if start.IsZero() {
		start = now
	}
	return number(name, now.Unix()-start.Unix())
}

// summary is the part about the pool.
func summary(s *api.WorkerStatus, now time.Time) []field {
	return []field{
		{name: "pool", text: s.Worker},
		{name: "process manager", text: s.Manager},
		moment("start time", s.Started, now),
		since("start since", s.Started, now),
		number("accepted conn", s.Accepted),
		number("listen queue", s.Queued),
		number("max listen queue", s.QueuedMost),
		number("listen queue len", s.QueueLength),
		number("idle processes", s.Idle),
		number("active processes", s.Active),
		number("total processes", s.Idle+s.Active),
		number("max active processes", s.ActiveMost),
		number("max children reached", s.LimitReached),
		number("slow requests", s.Slow),
		number("memory peak", s.PeakMemory),
	}
}

// listed says whether a process is one of the page's "total processes": those
// with a connection of the pool. What waits in reserve is none of them.
func listed(p *api.ProcessStatus) bool { return p.Connection != 0 || p.Running }

// process is the part about one process, with ?full.
func process(p *api.ProcessStatus, now time.Time) []field {
	state, cpu, memory := "Idle", p.LastRequestCPU, p.LastRequestMemory
	if p.Running {
		// They are known when a request has ended.
		state, cpu, memory = "Running", 0, 0
	}
	return []field{
		number("pid", p.PID),
		{name: "state", text: state},
		moment("start time", p.Started, now),
		since("start since", p.Started, now),
		number("requests", p.Requests),
		number("request duration", p.Duration.Microseconds()),
		{name: "request method", text: orDash(p.Method)},
		{name: "request uri", text: orDash(p.URI)},
		number("content length", p.ContentLength),
		{name: "user", text: orDash(p.User)},
		{name: "script", text: orDash(p.Script)},
		{name: "last request cpu", exact: strconv.FormatFloat(cpu, 'f', 2, 64)},
		number("last request memory", memory),
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
