package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/cmd/tqbench/result"
)

// columns are the headings of a scenario's table.
func columns(s result.Scenario) []string {
	heads := []string{"contestant"}
	for i, m := range s.Metrics {
		title, _, _ := m.About()
		heads = append(heads, title)
		if i == 0 || m == result.CPU {
			heads = append(heads, "ratio (least–most)")
		}
	}
	return append(heads, "errors")
}

// rows are the cells below them; ratios are to the baseline.
func rows(s result.Scenario) [][]string {
	base, _ := s.Entry(s.Baseline)
	all := make([][]string, 0, len(s.Entries))
	for _, e := range s.Entries {
		row := []string{e.Contestant}
		for i, m := range s.Metrics {
			_, unit, _ := m.About()
			cell := "–"
			if spread := result.Of(e.Values(m)); spread.N > 0 {
				cell = unit.Format(spread.Median)
			}
			row = append(row, cell)
			if i == 0 || m == result.CPU {
				row = append(row, e.Ratio(base, m).Ratio())
			}
		}
		all = append(all, append(row, errorsCell(e)))
	}
	return all
}

func errorsCell(e result.Entry) string {
	failed, requests := e.Errors()
	switch {
	case len(e.Rounds) == 0:
		return "–"
	case failed == 0:
		return "0"
	}
	kinds := map[string]int{}
	for _, r := range e.Rounds {
		for kind, n := range r.Errors {
			kinds[kind] += n
		}
	}
	names := make([]string, 0, len(kinds))
	for kind, n := range kinds {
		names = append(names, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(names)
	return fmt.Sprintf("%d of %d: %s", failed, requests, strings.Join(names, ", "))
}

// notes are what is to be said below a table.
func notes(s result.Scenario) []string {
	var all []string
	if s.Skipped != "" {
		all = append(all, "not run: "+s.Skipped)
	}
	for _, e := range s.Entries {
		if e.Failure != "" {
			all = append(all, e.Contestant+": "+short(e.Failure))
		}
		for _, r := range e.Rounds {
			if r.Note != "" {
				all = append(all, fmt.Sprintf("%s, round %d: %s", e.Contestant, r.Round, short(r.Note)))
				break
			}
		}
	}
	return all
}

// noteMost bounds a note, in bytes; the whole text is in the JSON.
const noteMost = 400

func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > noteMost {
		text = strings.ToValidUTF8(text[:noteMost], "") + " …"
	}
	return text
}

// targetHeads are the headings of the table of targets.
func targetHeads() []string {
	return []string{"scenario", "what", "against", "wanted", "measured (least–most)", "met"}
}

func targetRows(r result.Report) [][]string {
	verdicts := result.Judge(r)
	all := make([][]string, 0, len(verdicts))
	for _, v := range verdicts {
		title, unit, _ := v.Metric.About()
		show := func(x float64) string { return result.Spread{Median: x, N: 1}.Ratio() }
		measured, against := v.Measured.Ratio(), v.Against
		if v.Against == "" {
			show, against = unit.Format, "–"
			measured = fmt.Sprintf("%s (%s–%s)", show(v.Measured.Median), show(v.Measured.Least), show(v.Measured.Most))
		}
		wanted := "at least " + show(v.Want)
		if v.AtMost {
			wanted = "at most " + show(v.Want)
		}
		if v.NoErrors {
			wanted += ", no error"
		}
		met := "no"
		switch {
		case v.Why != "":
			met, measured = "not measured", v.Why
		case v.Met:
			met = "yes"
		}
		if v.Errors > 0 && v.Why == "" {
			measured += fmt.Sprintf(", %d errors", v.Errors)
		}
		all = append(all, []string{v.Scenario, v.Contestant + ": " + title, against, wanted, measured, met})
	}
	return all
}

// busy is the load average of the last minute above which a report says so.
const busy = 0.7

// about is what a reader must know of a run, by line.
func about(r result.Report) []string {
	kind := "A run"
	if r.Quick {
		kind = "A quick run, too short for claims"
	}
	lines := []string{
		fmt.Sprintf("%s of %s, %s; TQServer %s; `tqbench %s`", kind, r.Started.UTC().Format("2006-01-02 15:04 MST"), r.Took.Round(time.Second), r.Revision, strings.Join(r.Arguments, " ")),
		fmt.Sprintf("Rounds: %d of %s under load, contestants one after the other in every round.", r.Rounds, r.Duration),
		fmt.Sprintf("Machine: %d × %s, %s; %s; Linux %s; load before: %s", r.Machine.Cores, r.Machine.CPU, result.Bytes.Format(float64(r.Machine.Memory)), r.Machine.System, r.Machine.Kernel, r.Machine.Load),
	}
	var load float64
	if n, _ := fmt.Sscan(r.Machine.Load, &load); n == 1 && load > busy {
		lines = append(lines, "The machine was busy before the start: take no number of this run for what a quiet one gives.")
	}
	names := make([]string, 0, len(r.Machine.Versions))
	for name, version := range r.Machine.Versions {
		names = append(names, name+": "+version)
	}
	slices.Sort(names)
	return append(lines, "Versions: "+strings.Join(names, "; "))
}
