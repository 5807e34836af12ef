package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mevdschee/tqserver/cmd/tqbench/contestant"
	"github.com/mevdschee/tqserver/cmd/tqbench/scenario"
)

// choose returns the scenarios that the flags ask for, each with the
// contestants they ask for.
func choose(scenarios, contestants []string) ([]scenario.Scenario, error) {
	var errs []error
	for _, name := range contestants {
		if _, ok := contestant.By(contestant.ID(name)); !ok {
			errs = append(errs, fmt.Errorf("--contestant %s: there is none of that name; there are: %s", name, join(ids(contestant.All()))))
		}
	}
	all := scenario.All()
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.ID
	}
	for _, name := range scenarios {
		if !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("--scenario %s: there is none of that name; there are: %s", name, join(names)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var chosen []scenario.Scenario
	for _, s := range all {
		if len(scenarios) > 0 && !slices.Contains(scenarios, s.ID) {
			continue
		}
		if len(contestants) > 0 {
			s.Contestants = slices.DeleteFunc(slices.Clone(s.Contestants), func(id contestant.ID) bool { return !slices.Contains(contestants, string(id)) })
		}
		if len(s.Contestants) > 0 {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("none of these contestants takes part in these scenarios; `tqbench list` shows who takes part where")
	}
	return chosen, nil
}

func ids(all []contestant.Contestant) []contestant.ID {
	names := make([]contestant.ID, len(all))
	for i, c := range all {
		names[i] = c.ID
	}
	return names
}

// needs are the tools that scenarios need, and for what.
func needs(chosen []scenario.Scenario) map[contestant.Tool][]string {
	need := map[contestant.Tool][]string{}
	add := func(who string, tools []contestant.Tool) {
		for _, t := range tools {
			if !slices.Contains(need[t], who) {
				need[t] = append(need[t], who)
			}
		}
	}
	for _, s := range chosen {
		add("scenario "+s.ID, s.Tools)
		for _, id := range s.Contestants {
			if c, ok := contestant.By(id); ok {
				add(string(id), c.Tools)
			}
		}
	}
	return need
}
