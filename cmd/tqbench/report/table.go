package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/mevdschee/tqserver/cmd/tqbench/result"
)

// Table writes a report for a terminal.
func Table(w io.Writer, r result.Report) {
	for _, line := range about(r) {
		fmt.Fprintln(w, line)
	}
	for _, s := range r.Scenarios {
		fmt.Fprintf(w, "\n%s: %s\n%s\n", s.ID, s.Title, s.How)
		if len(s.Entries) > 0 {
			align(w, columns(s), rows(s))
		}
		for _, note := range notes(s) {
			fmt.Fprintln(w, "  !", note)
		}
	}
	fmt.Fprintln(w, "\ntargets")
	align(w, targetHeads(), targetRows(r))
}

func align(w io.Writer, heads []string, cells [][]string) {
	widths := make([]int, len(heads))
	lines := append([][]string{heads}, cells...)
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		var b strings.Builder
		for i, cell := range line {
			b.WriteString("  ")
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
