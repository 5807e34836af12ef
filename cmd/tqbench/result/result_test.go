package result

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func rounds(m Metric, values ...float64) []Round {
	var all []Round
	for i, v := range values {
		all = append(all, Round{Round: i + 1, Requests: 100, Values: map[Metric]float64{m: v}})
	}
	return all
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   []float64
		want Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3, 1}},
		{[]float64{5, 1, 2}, Spread{2, 1, 5, 3}},
		{[]float64{4, 1, 2, 10}, Spread{3, 1, 10, 4}},
	} {
		before := slices.Clone(c.in)
		if diff := cmp.Diff(c.want, Of(c.in)); diff != "" {
			t.Errorf("%v: %s", c.in, diff)
		}
		if !slices.Equal(before, c.in) {
			t.Errorf("%v was changed to %v", before, c.in)
		}
	}
}

// Ratios are taken within a round: a machine that becomes three times slower
// for both in the second round does not change them.
func TestRatioIsWithinRounds(t *testing.T) {
	t.Parallel()
	base := Entry{Rounds: rounds(Rate, 900, 300, 900)}
	mine := Entry{Rounds: rounds(Rate, 1800, 600, 1800)}
	if diff := cmp.Diff(Spread{2, 2, 2, 3}, mine.Ratio(base, Rate)); diff != "" {
		t.Error(diff)
	}
	// Rounds that one of them missed, or has no number of, are left out.
	mine.Rounds = mine.Rounds[1:]
	mine.Rounds[1].Values = map[Metric]float64{P50: 1}
	if diff := cmp.Diff(Spread{2, 2, 2, 1}, mine.Ratio(base, Rate)); diff != "" {
		t.Error(diff)
	}
	base.Rounds[1].Values[Rate] = 0
	if got := mine.Ratio(base, Rate); got.N != 0 {
		t.Errorf("%+v", got)
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		u    Unit
		v    float64
		want string
	}{
		{Number, 1234567.6, "1,234,568"},
		{Number, 0, "0"},
		{Number, 999, "999"},
		{Number, -1000, "-1,000"},
		{Seconds, 0.0000123, "12.3 µs"},
		{Seconds, 0.00285, "2.85 ms"},
		{Seconds, 12.34, "12.3 s"},
		{Seconds, 0, "0 µs"},
		{Bytes, 60 << 20, "60.0 MiB"},
		{Bytes, 1234 << 20, "1234 MiB"},
		{CPUTime, 0.138, "0.138 s"},
	} {
		if got := c.u.Format(c.v); got != c.want {
			t.Errorf("%v: %q, want %q", c.v, got, c.want)
		}
	}
	for want, s := range map[string]Spread{"–": {}, "1.25": {1.25, 1, 2, 1}, "1.25 (1.00–2.00)": {1.25, 1, 2, 3}, "0.0031": {0.0031, 0, 0, 1}} {
		if got := s.Ratio(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	atLeast := Target{Scenario: "s", Contestant: "a", Against: "b", Metric: Rate, Want: 1.5}
	atMost := atLeast
	atMost.AtMost = true
	clean := atMost
	clean.NoErrors = true
	alone := Target{Scenario: "s", Contestant: "a", Metric: Rate, AtMost: true, Want: 100}
	entry := func(name string, values ...float64) Entry {
		return Entry{Contestant: name, Rounds: rounds(Rate, values...)}
	}
	failing := entry("a", 150, 150)
	failing.Rounds[0].Errors = map[string]int{"status": 1}
	for name, c := range map[string]struct {
		target  Target
		entries []Entry
		met     bool
		why     bool
	}{
		"reached":         {atLeast, []Entry{entry("a", 150, 160, 10), entry("b", 100, 100, 100)}, true, false},
		"not reached":     {atLeast, []Entry{entry("a", 149), entry("b", 100)}, false, false},
		"at most":         {atMost, []Entry{entry("a", 150), entry("b", 100)}, true, false},
		"more than that":  {atMost, []Entry{entry("a", 151), entry("b", 100)}, false, false},
		"with an error":   {clean, []Entry{failing, entry("b", 100, 100)}, false, false},
		"errors are fine": {atMost, []Entry{failing, entry("b", 100, 100)}, true, false},
		"a number":        {alone, []Entry{entry("a", 90, 99, 200)}, true, false},
		"no rival":        {atLeast, []Entry{entry("a", 150)}, false, true},
		"rival failed":    {atLeast, []Entry{entry("a", 150), {Contestant: "b", Failure: "x"}}, false, true},
		"not asked":       {atLeast, []Entry{entry("b", 100)}, false, true},
		"other metric":    {Target{Scenario: "s", Contestant: "a", Against: "b", Metric: CPU, Want: 1}, []Entry{entry("a", 1), entry("b", 1)}, false, true},
		"no scenario":     {Target{Scenario: "other"}, nil, false, true},
	} {
		got := c.target.judge(Report{Scenarios: []Scenario{{ID: "s", Entries: c.entries}}})
		if got.Met != c.met || (got.Why != "") != c.why {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestEveryMetricHasATitle(t *testing.T) {
	t.Parallel()
	for _, m := range []Metric{Rate, P50, P99, Visitor, CPU, CPUPHP, Memory, MemoryPHP, MemoryOwn, Processes, FirstRun, LastRun, Answer, Wake} {
		if title, _, _ := m.About(); strings.Contains(title, "_") || title == "" {
			t.Errorf("%s has none", m)
		}
	}
}
