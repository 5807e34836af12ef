package result

import "slices"

// Spread is a median with the least and the most of what it is of.
type Spread struct {
	Median, Least, Most float64
	N                   int // how many numbers; 0 means that there is nothing
}

// Of returns the spread of numbers, which it does not change.
func Of(numbers []float64) Spread {
	if len(numbers) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(numbers))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Least: sorted[0], Most: sorted[n-1], N: n}
}

// Values returns a metric of every round that has it.
func (e Entry) Values(m Metric) []float64 {
	var all []float64
	for _, r := range e.Rounds {
		if v, ok := r.Values[m]; ok {
			all = append(all, v)
		}
	}
	return all
}

// Errors counts the errors and requests of all rounds.
func (e Entry) Errors() (errors, requests int) {
	for _, r := range e.Rounds {
		errors += r.Failed()
		requests += r.Requests
	}
	return errors, requests
}

// Ratio is of a metric of e to that of base, round by round: what disturbs the
// machine for a while disturbs both of a round.
func (e Entry) Ratio(base Entry, m Metric) Spread {
	var ratios []float64
	for _, r := range e.Rounds {
		i := slices.IndexFunc(base.Rounds, func(b Round) bool { return b.Round == r.Round })
		if i < 0 {
			continue
		}
		mine, ok := r.Values[m]
		theirs, also := base.Rounds[i].Values[m]
		if ok && also && theirs > 0 {
			ratios = append(ratios, mine/theirs)
		}
	}
	return Of(ratios)
}
