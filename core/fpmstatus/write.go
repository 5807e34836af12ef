package fpmstatus

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// clock is how text and HTML show a time.
const clock = "02/Jan/2006:15:04:05 -0700"

// Write writes the page as of now, in now's time zone. full adds the processes
// in s.
func Write(w io.Writer, s *api.WorkerStatus, f Format, full bool, now time.Time) error {
	var b bytes.Buffer
	pool := summary(s, now)
	var processes [][]field
	if full {
		for i := range s.Processes {
			if listed(&s.Processes[i]) {
				processes = append(processes, process(&s.Processes[i], now))
			}
		}
	}
	switch f {
	case FormatHTML:
		writeHTML(&b, pool, processes, full)
	case FormatXML:
		writeXML(&b, pool, processes, full)
	case FormatJSON:
		writeJSON(&b, pool, processes, full)
	case FormatOpenMetrics:
		writeOpenMetrics(&b, pool)
	default:
		writeText(&b, pool, processes)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func writeText(b *bytes.Buffer, pool []field, processes [][]field) {
	lines := func(fields []field) {
		for _, f := range fields {
			name := f.name
			if name == "request uri" {
				name = "request URI" // in this format only
			}
			fmt.Fprintf(b, "%-21s %s\n", name+":", line(f.readable()))
		}
	}
	lines(pool)
	for _, p := range processes {
		b.WriteString("\n************************\n")
		lines(p)
	}
}

func writeHTML(b *bytes.Buffer, pool []field, processes [][]field, full bool) {
	b.WriteString(`<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
<head><title>PHP-FPM Status Page</title></head>
<body>
<table>
`)
	for _, f := range pool {
		fmt.Fprintf(b, "<tr><th>%s</th><td>%s</td></tr>\n", f.name, markup(f.readable()))
	}
	b.WriteString("</table>\n")
	if full {
		b.WriteString("<table border=\"1\">\n<tr>")
		for _, f := range process(&api.ProcessStatus{}, time.Time{}) {
			fmt.Fprintf(b, "<th>%s</th>", f.name)
		}
		b.WriteString("</tr>\n")
		for _, p := range processes {
			b.WriteString("<tr>")
			for _, f := range p {
				fmt.Fprintf(b, "<td>%s</td>", markup(f.readable()))
			}
			b.WriteString("</tr>\n")
		}
		b.WriteString("</table>")
	}
	b.WriteString("</body></html>")
}

func writeXML(b *bytes.Buffer, pool []field, processes [][]field, full bool) {
	element := func(f field) {
		name := strings.ReplaceAll(f.name, " ", "-")
		fmt.Fprintf(b, "<%s>%s</%s>", name, markup(f.plain()), name)
	}
	b.WriteString("<?xml version=\"1.0\" ?>\n<status>\n")
	for _, f := range pool {
		element(f)
		b.WriteByte('\n')
	}
	if full {
		b.WriteString("<processes>\n")
		for _, p := range processes {
			b.WriteString("<process>")
			for _, f := range p {
				element(f)
			}
			b.WriteString("</process>\n")
		}
		b.WriteString("</processes>\n")
	}
	b.WriteString("</status>")
}

func writeJSON(b *bytes.Buffer, pool []field, processes [][]field, full bool) {
	members := func(fields []field) {
		for i, f := range fields {
			if i > 0 {
				b.WriteByte(',')
			}
			value := f.plain()
			if f.exact == "" && !f.isTime {
				value = quoted(value)
			}
			fmt.Fprintf(b, "%q:%s", f.name, value)
		}
	}
	b.WriteByte('{')
	members(pool)
	if full {
		b.WriteString(`, "processes":[`)
		for i, p := range processes {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteByte('{')
			members(p)
			b.WriteByte('}')
		}
		b.WriteByte(']')
	}
	b.WriteByte('}')
}

// readable is the value for people.
func (f field) readable() string {
	if f.isTime {
		return f.time.Format(clock)
	}
	return f.plain()
}

// plain is the value for programs: a time in seconds since 1970.
func (f field) plain() string {
	switch {
	case f.isTime:
		return strconv.FormatInt(f.time.Unix(), 10)
	case f.exact != "":
		return f.exact
	}
	return f.text
}
