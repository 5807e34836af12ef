package scenario

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/mevdschee/tqserver/cmd/tqbench/contestant"
	"github.com/mevdschee/tqserver/cmd/tqbench/load"
	"github.com/mevdschee/tqserver/cmd/tqbench/result"
)

// RoundsOf is how many rounds a scenario has in a run of n.
func (s Scenario) RoundsOf(n int) int {
	if s.MostRounds > 0 {
		return min(n, s.MostRounds)
	}
	return n
}

// lane is a contestant on its way through a scenario.
type lane struct {
	contestant.Contestant
	entry   *result.Entry
	running *contestant.Running // of a steady scenario
}

// Run asks the contestants that the scenario has. What one of them cannot do
// is told in its entry; the others go on. When ctx ends, what was measured so
// far is returned.
func (s Scenario) Run(ctx context.Context, o Options) result.Scenario {
	out := result.Scenario{
		ID: s.ID, Title: s.Title, How: s.How, Baseline: string(s.Baseline), Metrics: s.Metrics,
		Entries: make([]result.Entry, len(s.Contestants)),
	}
	e, q := &env{Options: o, app: s.app}, s.request(o.Site)
	lanes := make([]*lane, 0, len(s.Contestants))
	defer func() { stopAll(lanes) }() // those that there are by then
	for i, id := range s.Contestants {
		c, ok := contestant.By(id)
		if !ok {
			out.Entries[i] = result.Entry{Contestant: string(id), Failure: "no such contestant"}
			continue
		}
		out.Entries[i] = result.Entry{Contestant: string(id), Title: c.Title}
		lanes = append(lanes, &lane{Contestant: c, entry: &out.Entries[i]})
	}
	if s.steady != nil {
		prepare(ctx, e, lanes, q)
	}
	rounds := s.RoundsOf(o.Rounds)
	for round := 1; round <= rounds; round++ {
		// Another one begins each time: nobody always follows the same.
		first := (round - 1) % max(1, len(lanes))
		for _, l := range slices.Concat(lanes[first:], lanes[:first]) {
			if ctx.Err() != nil {
				return ended(ctx, out)
			}
			s.ask(ctx, e, l, q, round, rounds)
		}
	}
	return out
}

// ended says of those without a number why they have none.
func ended(ctx context.Context, out result.Scenario) result.Scenario {
	for i := range out.Entries {
		if e := &out.Entries[i]; len(e.Rounds) == 0 && e.Failure == "" {
			e.Failure = "not measured: " + context.Cause(ctx).Error()
		}
	}
	return out
}

// prepare starts contestants that serve all rounds, all at once to save time,
// and warms them up one after the other.
func prepare(ctx context.Context, e *env, lanes []*lane, q load.Request) {
	errs := make([]error, len(lanes))
	var group sync.WaitGroup
	for i, l := range lanes {
		group.Go(func() { l.running, _, errs[i] = begin(ctx, e, l.Contestant, q) })
	}
	group.Wait()
	for i, l := range lanes {
		if errs[i] == nil {
			errs[i] = warm(ctx, e, l.running, q)
		}
		if errs[i] != nil {
			l.fail(ctx, e, errs[i])
		}
	}
}

func stopAll(lanes []*lane) {
	var group sync.WaitGroup
	for _, l := range lanes {
		if l.running != nil {
			group.Go(l.running.Stop)
		}
	}
	group.Wait()
}

func (l *lane) fail(ctx context.Context, e *env, err error) {
	if ctx.Err() != nil {
		return // the end of the run is nobody's failure
	}
	l.entry.Failure = err.Error()
	e.Progress("  %s: %v", l.ID, err)
	if l.running != nil {
		l.running.Stop()
		l.running = nil
	}
}

// ask is one round of one contestant.
func (s Scenario) ask(ctx context.Context, e *env, l *lane, q load.Request, round, rounds int) {
	if l.entry.Failure != "" {
		return
	}
	var got result.Round
	var err error
	if s.steady != nil {
		if l.running == nil {
			return
		}
		got, err = s.steady(ctx, e, l.running, q)
	} else {
		got, err = s.fresh(ctx, e, l.Contestant, q)
	}
	if err != nil {
		l.fail(ctx, e, fmt.Errorf("round %d: %w", round, err))
		return
	}
	got.Round = round
	l.entry.Rounds = append(l.entry.Rounds, got)
	e.Progress("%s, round %d of %d, %s: %s", s.ID, round, rounds, l.ID, Brief(s.Metrics[0], got))
}

// Brief is a round in a few words.
func Brief(m result.Metric, r result.Round) string {
	title, unit, _ := m.About()
	text := title + " " + unit.Format(r.Values[m])
	if n := r.Failed(); n > 0 {
		text += fmt.Sprintf(", %d errors %v %s", n, r.Errors, r.Note)
	}
	return text
}
