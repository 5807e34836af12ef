package fpmimport

import (
	"bytes"
	"fmt"
	"strings"
)

// report writes what became of every directive, as Markdown. It shows no value
// of env[] and of what may hold a password.
func report(files []string, parts []part) []byte {
	var b bytes.Buffer
	b.WriteString("# Import from PHP-FPM\n\nRead:\n\n")
	for _, f := range files {
		fmt.Fprintf(&b, "- %s\n", f)
	}
	b.WriteString("\nEvery directive that PHP-FPM has, and what became of it. *Taken over*: a setting with the same meaning. *Equivalent*: the purpose is served in another way. " +
		"*Not needed*: there is nothing here it would do. *Not supported*: it is lost.\n\n## To look at\n\n")
	nothing := true
	for _, p := range parts {
		for _, l := range p.look() {
			nothing = false
			fmt.Fprintf(&b, "- %s\n", l)
		}
	}
	if nothing {
		b.WriteString("Nothing.\n")
	}
	for _, p := range parts {
		fmt.Fprintf(&b, "\n## %s\n\n| directive | value | verdict | here | why |\n|---|---|---|---|---|\n", p.title)
		for _, e := range p.entries {
			value := "not set"
			switch {
			case e.place != "":
				value = "`" + e.shown() + "` (" + e.place + ")"
			case e.def != "":
				value = "not set (`" + e.def + "`)"
			}
			to := e.to
			if to != "" {
				to = "`" + to + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", e.directive, cell(value), e.verdict, to, cell(e.why))
		}
	}
	return b.Bytes()
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
