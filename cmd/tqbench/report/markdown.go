package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/mevdschee/tqserver/cmd/tqbench/result"
)

// Markdown writes a report as a page that shows the charts beside it.
func Markdown(w io.Writer, r result.Report, charts []string) {
	fmt.Fprint(w, "# Results\n\nWritten by `make bench`; README.md beside this page says how it is measured and how to read it.\n\n")
	for _, line := range about(r) {
		fmt.Fprintf(w, "- %s\n", line)
	}
	fmt.Fprint(w, "\n## Targets\n\n")
	table(w, targetHeads(), targetRows(r))
	if len(charts) > 0 {
		fmt.Fprint(w, "\n## At a glance\n")
	}
	for _, c := range charts {
		fmt.Fprintf(w, "\n![%s](%s)\n", strings.TrimSuffix(c, ".svg"), c)
	}
	for _, s := range r.Scenarios {
		fmt.Fprintf(w, "\n## %s: %s\n\n%s.", s.ID, s.Title, sentence(s.How))
		if len(s.Entries) > 0 {
			fmt.Fprintf(w, " Ratios are to %s.\n\n", s.Baseline)
			table(w, columns(s), rows(s))
		} else {
			fmt.Fprintln(w)
		}
		for i, note := range notes(s) {
			if i == 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "- %s\n", escape(note))
		}
	}
	fmt.Fprint(w, "\n## Contestants\n\n")
	seen := map[string]bool{}
	for _, s := range r.Scenarios {
		for _, e := range s.Entries {
			if !seen[e.Contestant] {
				seen[e.Contestant] = true
				fmt.Fprintf(w, "- %s: %s\n", e.Contestant, e.Title)
			}
		}
	}
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func table(w io.Writer, heads []string, cells [][]string) {
	line := func(cells []string) {
		for _, c := range cells {
			fmt.Fprintf(w, "| %s ", escape(c))
		}
		fmt.Fprintln(w, "|")
	}
	line(heads)
	fmt.Fprint(w, "|---", strings.Repeat("|---:", len(heads)-1), "|\n")
	for _, row := range cells {
		line(row)
	}
}

func escape(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ").Replace(s)
}
