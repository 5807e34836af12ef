package conf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// Origin is where a setting was written.
type Origin struct {
	// Name is a file, "TQSERVER_LOG__LEVEL" or "--set log.level"; empty when
	// the setting comes from no layer.
	Name string
	// Line and Column count from 1 and are 0 outside of files.
	Line, Column int
}

// String returns file:line:column, or the name alone.
func (o Origin) String() string {
	switch {
	case o.Line == 0:
		return o.Name
	case o.Column == 0:
		return fmt.Sprintf("%s:%d", o.Name, o.Line)
	}
	return fmt.Sprintf("%s:%d:%d", o.Name, o.Line, o.Column)
}

// Problem is one thing wrong with the configuration.
type Problem struct {
	Origin Origin
	// Path of the setting, the section first; empty for a whole file.
	Path string
	// Message is in lower case, without a period.
	Message string
}

// String returns the problem as one line: origin, path, message.
func (p Problem) String() string {
	var parts []string
	if origin := p.Origin.String(); origin != "" {
		parts = append(parts, origin)
	}
	if p.Path != "" && !strings.HasSuffix(p.Origin.Name, " "+p.Path) { // "--set http.x" says it already
		parts = append(parts, p.Path)
	}
	return strings.Join(append(parts, p.Message), ": ")
}

// Errors is every problem found, in the order of the files' lines.
type Errors struct{ Problems []Problem }

// maxPrinted bounds the text of an error; a file of garbage has no end of problems.
const maxPrinted = 200

// Error prints every problem on a line of its own; of more than 200, the number
// of the rest.
func (e *Errors) Error() string {
	var lines []string
	for _, p := range e.Problems[:min(len(e.Problems), maxPrinted)] {
		lines = append(lines, p.String())
	}
	if more := len(e.Problems) - maxPrinted; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more problems", more))
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems of all lists as one *Errors, nil when there is none.
func Err(lists ...[]Problem) error {
	var all []Problem
	for _, list := range lists {
		all = append(all, sorted(list)...)
	}
	if len(all) == 0 {
		return nil
	}
	return &Errors{all}
}

// ProblemsOf returns the problems err carries; an error of another kind becomes
// one problem without a place.
func ProblemsOf(err error) []Problem {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Errors](err); ok {
		return e.Problems
	}
	return []Problem{{Message: err.Error()}}
}

// sorted orders problems of one tree: files first, by line, in the order in which
// they are first named, and no line twice.
func sorted(list []Problem) []Problem {
	list = slices.Clone(list)
	order := map[string]int{}
	for _, p := range list {
		if _, ok := order[p.Origin.Name]; !ok {
			order[p.Origin.Name] = len(order)
		}
	}
	slices.SortStableFunc(list, func(a, b Problem) int {
		if aFile, bFile := a.Origin.Line > 0, b.Origin.Line > 0; aFile != bFile {
			if aFile {
				return -1
			}
			return 1
		}
		if a.Origin.Line > 0 && a.Origin.Name != b.Origin.Name {
			return order[a.Origin.Name] - order[b.Origin.Name]
		}
		if a.Origin.Line != b.Origin.Line {
			return a.Origin.Line - b.Origin.Line
		}
		return a.Origin.Column - b.Origin.Column
	})
	return slices.Compact(list)
}

// located gives problems below prefix the place of their setting.
func located(places *place, prefix string, problems []settings.Problem) []Problem {
	var all []Problem
	for _, p := range problems {
		path := settings.Under(prefix, p.Path)
		all = append(all, Problem{places.find(path), path, p.Message})
	}
	return all
}
