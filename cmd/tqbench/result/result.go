// Package result holds what was measured, the statistics over it, and the
// targets that it is held against.
package result

import (
	"slices"
	"time"
)

// Metric names a number that was measured.
type Metric string

// The metrics. Times are in seconds, memory is in bytes.
const (
	Rate      Metric = "requests_per_second"
	P50       Metric = "p50_s"
	P99       Metric = "p99_s"
	Visitor   Metric = "visitor_longest_s" // of one more client, who asks 20 times a second
	CPU       Metric = "cpu_s_per_1000"
	CPUPHP    Metric = "cpu_php_s_per_1000"
	Memory    Metric = "pss_bytes"
	MemoryPHP Metric = "pss_php_bytes"
	MemoryOwn Metric = "pss_without_php_bytes"
	Processes Metric = "processes"
	FirstRun  Metric = "first_started_s"
	LastRun   Metric = "last_started_s"
	Answer    Metric = "first_answer_s"
	Wake      Metric = "idle_answer_s" // of an application that nobody has asked before
)

// Unit is how a metric is shown.
type Unit int

// The units.
const (
	Number Unit = iota
	Seconds
	Bytes
	CPUTime // seconds per 1,000 requests
)

// About says what a metric is called in tables, how it is shown and whether
// more of it is better.
func (m Metric) About() (title string, unit Unit, more bool) {
	switch m {
	case Rate:
		return "requests/s", Number, true
	case P50:
		return "p50", Seconds, false
	case P99:
		return "p99", Seconds, false
	case Visitor:
		return "another visitor's longest wait", Seconds, false
	case CPU:
		return "CPU s per 1,000", CPUTime, false
	case CPUPHP:
		return "of it PHP", CPUTime, false
	case Memory:
		return "memory", Bytes, false
	case MemoryPHP:
		return "of it PHP", Bytes, false
	case MemoryOwn:
		return "memory without PHP", Bytes, false
	case Processes:
		return "processes", Number, false
	case FirstRun:
		return "first started after", Seconds, false
	case LastRun:
		return "last started after", Seconds, false
	case Answer:
		return "first answer after", Seconds, false
	case Wake:
		return "first answer of an idle one", Seconds, false
	default:
		return string(m), Number, false
	}
}

// Round is what one contestant showed in one round.
type Round struct {
	Round    int                `json:"round"` // from 1; contestants of one round ran one after the other
	Values   map[Metric]float64 `json:"values"`
	Requests int                `json:"requests"`
	Errors   map[string]int     `json:"errors,omitempty"` // by kind
	Note     string             `json:"note,omitempty"`   // the first thing that went wrong
}

// Failed counts the errors.
func (r Round) Failed() int {
	n := 0
	for _, c := range r.Errors {
		n += c
	}
	return n
}

// Entry is a contestant in a scenario.
type Entry struct {
	Contestant string  `json:"contestant"`
	Title      string  `json:"title"`
	Rounds     []Round `json:"rounds,omitempty"`
	Failure    string  `json:"failure,omitempty"` // why it could not be measured, or not to the end
}

// Scenario is what was measured of one scenario.
type Scenario struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	How      string   `json:"how"`
	Baseline string   `json:"baseline"` // the contestant that ratios are to
	Metrics  []Metric `json:"metrics"`  // the columns, the main one first
	Entries  []Entry  `json:"entries"`
	Skipped  string   `json:"skipped,omitempty"` // why it did not run
}

// Entry finds a contestant.
func (s Scenario) Entry(contestant string) (Entry, bool) {
	i := slices.IndexFunc(s.Entries, func(e Entry) bool { return e.Contestant == contestant })
	if i < 0 {
		return Entry{}, false
	}
	return s.Entries[i], true
}

// Machine says where it ran.
type Machine struct {
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	Memory   int64             `json:"memory_bytes"`
	Kernel   string            `json:"kernel"`
	System   string            `json:"system"`
	Versions map[string]string `json:"versions"`
	Load     string            `json:"load_before"` // /proc/loadavg at the start
}

// Report is one run of the benchmark.
type Report struct {
	Started   time.Time     `json:"started"`
	Took      time.Duration `json:"took_ns"`
	Revision  string        `json:"revision"` // of TQServer
	Arguments []string      `json:"arguments"`
	Quick     bool          `json:"quick"`
	Rounds    int           `json:"rounds"`
	Duration  time.Duration `json:"round_ns"`
	Machine   Machine       `json:"machine"`
	Scenarios []Scenario    `json:"scenarios"`
}

// Scenario finds a scenario.
func (r Report) Scenario(id string) (Scenario, bool) {
	i := slices.IndexFunc(r.Scenarios, func(s Scenario) bool { return s.ID == id })
	if i < 0 {
		return Scenario{}, false
	}
	return r.Scenarios[i], true
}
