package fpmimport

import (
	"strings"
	"testing"
)

func TestAccessFormatTellsWhatIsMissing(t *testing.T) {
	p := &pool{job: &job{options: Options{Known: func(string) bool { return true }}}, set: map[string]string{"access.log": "/x"}}
	for format, want := range map[string]string{
		`%R - %u %t "%m %r%Q%q" %s`:                      "",
		"%R - %u %t \"%m %r\" %s %{milliseconds}d %p %%": "%d, %p",
		"%{bytes}M %C %{user}C %n %":                     "%M, %C, %n",
		"%{open":                                         "",
	} {
		o := p.accessFormat(line{value: format})
		if o.verdict != Equivalent || o.look != (want != "") || want != "" && !strings.Contains(o.why, "which has no "+want+";") {
			t.Errorf("%s: %+v, want %q", format, o, want)
		}
	}
}

// The server has one access log: the second pool's goes to the file of the first.
func TestAccessLogOfSeveralPools(t *testing.T) {
	sections := []*section{
		{name: "none"},
		{name: "a", lines: []line{{name: "access.log", value: "log/a.log"}, {name: "prefix", value: "/srv"}}},
		{name: "b", lines: []line{{name: "access.log", value: "/b.log"}}},
	}
	j := &job{options: Options{Prefix: "/usr", Known: func(string) bool { return true }}, source: source{pools: sections}}
	if name, file := j.accessFile(); name != "a" || file != "/srv/log/a.log" {
		t.Error(name, file)
	}
	for i, want := range map[int]Verdict{1: Taken, 2: Equivalent} {
		p := &pool{job: j, name: sections[i].name, set: map[string]string{}}
		for _, l := range sections[i].lines {
			p.set[l.name] = l.value
		}
		if o := p.accessLog(sections[i].lines[0]); o.verdict != want || o.look != (want == Equivalent) || len(p.out.below) != 1 {
			t.Errorf("%s: %+v", p.name, o)
		}
	}
}
