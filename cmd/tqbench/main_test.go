package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/cmd/tqbench/contestant"
	"github.com/mevdschee/tqserver/cmd/tqbench/report"
	"github.com/mevdschee/tqserver/cmd/tqbench/result"
	"github.com/mevdschee/tqserver/cmd/tqbench/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench runs the command and returns what it wrote.
func bench(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	c := command(&out, &errs)
	c.SetArgs(args)
	err = c.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// TestSmoke is a benchmark that is too short for anything but to see that it
// works: two contestants, one of them ours, and a fresh start of both.
func TestSmoke(t *testing.T) {
	t.Parallel()
	want := []string{"tqserver", "nginx-fpm"}
	need := map[contestant.Tool][]string{contestant.Nginx: nil, contestant.PHPFPM: nil, contestant.PHPCGI: nil, contestant.Wrk: nil}
	var missing *contestant.MissingError
	if _, err := contestant.Find(nil, need); errors.As(err, &missing) {
		if os.Getenv("TQ_E2E") == "require" {
			t.Fatalf("TQ_E2E=require: %v", missing.Missing)
		}
		t.Skipf("not installed: %v", missing.Missing)
	}
	dir := t.TempDir()
	server := filepath.Join(dir, "tqserver")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", server, "../tqserver")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stdout, stderr, err := bench(t, "--scenario", "hello,start", "--contestant", strings.Join(want, ","), "--quick", "--tool", "tqserver="+server, "--out", dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if !strings.Contains(stderr, "4/4") || !strings.Contains(stdout, "at least 1.30") {
		t.Errorf("no progress or no targets:\n%s\n%s", stderr, stdout)
	}
	r, err := report.Read(filepath.Join(dir, report.JSONName))
	if err != nil {
		t.Fatal(err)
	}
	for scene, metrics := range map[string][]result.Metric{
		"hello": {result.Rate, result.P50, result.P99, result.Visitor, result.CPU, result.CPUPHP, result.Memory},
		"start": {result.Answer, result.Memory, result.Processes},
	} {
		s, ok := r.Scenario(scene)
		if !ok || len(s.Entries) != len(want) {
			t.Fatalf("%s: %+v", scene, s)
		}
		for _, id := range want {
			e, _ := s.Entry(id)
			if failed, requests := e.Errors(); failed > 0 || requests == 0 || e.Failure != "" || len(e.Rounds) != 1 {
				t.Errorf("%s, %s: %+v", scene, id, e)
				continue
			}
			for _, m := range metrics {
				if v := e.Rounds[0].Values[m]; v <= 0 {
					t.Errorf("%s, %s: %s is %v", scene, id, m, v)
				}
			}
			// Four children, whose parent and master do more than nothing.
			if got := e.Rounds[0].Values[result.Processes]; scene == "start" && got < 6 {
				t.Errorf("%s has %v processes", id, got)
			}
		}
	}
	if page, err := os.ReadFile(filepath.Join(dir, "results.md")); err != nil || !strings.Contains(string(page), "requests.svg") {
		t.Errorf("%v\n%s", err, page)
	}
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--scenario", "helo"}, "there are: hello, cpu"},
		{[]string{"--contestant", "iis"}, "there are: nginx-fpm,"},
		{[]string{"--scenario", "go", "--contestant", "apache-fpm"}, "none of these contestants takes part"},
		{[]string{"--rounds", "0"}, "--rounds 0"},
		{[]string{"--duration", "1500ms"}, "whole seconds"},
		{[]string{"--scenario", "hello", "--contestant", "tqserver", "--tool", "tqserver=/nowhere"}, "tqserver, for tqserver"},
		{[]string{"--scenario", "hello", "--contestant", "tqserver", "--tool", "tqserver=/nowhere"}, "make bench"},
		{[]string{"--tool", "iis=/x"}, "--tool iis"},
		{[]string{"what"}, "unknown command"},
	} {
		_, _, err := bench(t, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestHelpHasExamples(t *testing.T) {
	t.Parallel()
	out, _, err := bench(t, "--help")
	for _, want := range []string{"--quick", "make bench", "tqbench list", "--scenario hello"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v, no %q in %s", err, want, out)
		}
	}
}

func TestListNamesAll(t *testing.T) {
	t.Parallel()
	out, _, err := bench(t, "list")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenario.All() {
		if !strings.Contains(out, s.ID) {
			t.Errorf("no %s", s.ID)
		}
	}
	for _, c := range contestant.All() {
		if !strings.Contains(out, string(c.ID)) {
			t.Errorf("no %s", c.ID)
		}
	}
}

// What targets, scenarios and contestants call each other exists.
func TestNamesFit(t *testing.T) {
	t.Parallel()
	scenes := map[string]scenario.Scenario{}
	for _, s := range scenario.All() {
		scenes[s.ID] = s
		if !slices.Contains(s.Contestants, s.Baseline) {
			t.Errorf("the baseline %s of %s does not take part", s.Baseline, s.ID)
		}
		for _, id := range s.Contestants {
			if _, ok := contestant.By(id); !ok {
				t.Errorf("%s has a contestant %s, that there is none of", s.ID, id)
			}
		}
	}
	for _, target := range result.Targets() {
		s := scenes[target.Scenario]
		for _, id := range []string{target.Contestant, target.Against} {
			if id != "" && !slices.Contains(s.Contestants, contestant.ID(id)) {
				t.Errorf("%s: %q does not take part", target.Scenario, id)
			}
		}
		if !slices.Contains(s.Metrics, target.Metric) {
			t.Errorf("%s has no %s", target.Scenario, target.Metric)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	chosen, err := choose([]string{"go", "hello"}, []string{"tqserver", "nginx-fpm"})
	if err != nil || len(chosen) != 2 || chosen[0].ID != "hello" || len(chosen[0].Contestants) != 2 || len(chosen[1].Contestants) != 1 {
		t.Errorf("%+v, %v", chosen, err)
	}
	if n := steps(chosen, 5); n != 15 {
		t.Errorf("%d steps", n)
	}
	need := needs(chosen)
	for _, tool := range []contestant.Tool{contestant.Server, contestant.Wrk, contestant.PHPCGI, contestant.Nginx} {
		if len(need[tool]) == 0 {
			t.Errorf("nobody needs %s", tool)
		}
	}
	if len(need[contestant.Caddy]) > 0 {
		t.Error("caddy is needed for nothing")
	}
}

// A part or a quick run does not replace the report of everything.
func TestOutIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		f    flags
		want string
	}{
		{flags{}, fullOut},
		{flags{quick: true}, otherOut},
		{flags{scenarios: []string{"hello"}}, otherOut},
		{flags{contestants: []string{"tqserver"}}, otherOut},
		{flags{out: "x", quick: true}, "x"},
	} {
		if got := c.f.folder(); got != c.want {
			t.Errorf("%+v: %s", c.f, got)
		}
	}
}

func TestTeller(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	say := teller(&b, time.Now(), 2)
	say("hello: %s", "x")
	say("%s, round %d of %d, y", "hello", 1, 2)
	if got := b.String(); !strings.Contains(got, "0/2  hello: x") || !strings.Contains(got, "1/2  hello, round 1 of 2, y") {
		t.Errorf("%s", got)
	}
}
