package report

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/cmd/tqbench/result"
)

var update = flag.Bool("update", false, "write the golden files")

// sample is a run in which everything happens once.
func sample() result.Report {
	round := func(n int, rate, cpu float64, errs map[string]int, note string) result.Round {
		return result.Round{Round: n, Requests: int(rate), Errors: errs, Note: note, Values: map[result.Metric]float64{
			result.Rate: rate, result.P50: 1.4e-3, result.P99: 2.8e-3, result.CPU: cpu, result.Memory: 16 << 20,
		}}
	}
	return result.Report{
		Started: time.Date(2026, 11, 24, 23, 56, 0, 0, time.UTC), Took: 83 * time.Second, Revision: "abc1234",
		Arguments: []string{"--rounds", "3"}, Rounds: 3, Duration: 4 * time.Second,
		Machine: result.Machine{
			CPU: "AMD EPYC", Cores: 2, Memory: 24 << 30, Kernel: "6.18", System: "Debian GNU/Linux 12", Load: "0.00 0.01 0.05",
			Versions: map[string]string{"nginx": "nginx/1.22.1", "go": "go1.26.8"},
		},
		Scenarios: []result.Scenario{
			{
				ID: "hello", Title: "hello.php", How: "a script that prints one line", Baseline: "nginx-fpm",
				Metrics: []result.Metric{result.Rate, result.P50, result.P99, result.CPU, result.Memory},
				Entries: []result.Entry{
					{Contestant: "nginx-fpm", Title: "nginx + php-fpm", Rounds: []result.Round{round(1, 10000, 0.140, nil, ""), round(2, 8000, 0.142, nil, ""), round(3, 9000, 0.141, nil, "")}},
					{Contestant: "caddy-fpm", Title: "Caddy | php-fpm", Failure: "round 1: caddy ended: exit status 1:\n\tsaid <nothing>"},
					{Contestant: "tqserver", Title: "TQServer", Rounds: []result.Round{round(1, 14000, 0.1, nil, ""), round(2, 12000, 0.1, map[string]int{"timeout": 2, "status": 1}, "status 503"), round(3, 11700, 0.1, nil, "")}},
				},
			},
			{ID: "go", Title: "an application written in Go", How: "one line", Skipped: "the time of --quick was over"},
			{
				ID: "idle", Title: "memory", How: "after one request", Baseline: "nginx-fpm", Metrics: []result.Metric{result.MemoryOwn},
				Entries: []result.Entry{{Contestant: "tqserver", Title: "TQServer", Rounds: []result.Round{
					{Round: 1, Values: map[result.Metric]float64{result.MemoryOwn: 61 << 20}},
				}}},
			},
		},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-update writes it):\n%s", name, diff)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	var table, page bytes.Buffer
	Table(&table, sample())
	golden(t, "table.txt", table.Bytes())
	Markdown(&page, sample(), []string{"requests.svg"})
	golden(t, "results.md", page.Bytes())
}

// What was written can be read and shown again; charts without a bar are not
// left from a run before.
func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := sample()
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(filepath.Join(dir, JSONName))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"results.md", "requests.svg", "cpu.svg"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	want.Scenarios = want.Scenarios[2:]
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "requests.svg")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a chart of a run before: %v", err)
	}
	if _, err := Read(filepath.Join(dir, "none.json")); err == nil {
		t.Error("no file is read")
	}
}

func TestChart(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := Chart(&b, sample(), result.Rate, "Requests"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "hello\u00a0\u00a0tqserver", "hello\u00a0\u00a0nginx-fpm", "Requests"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in the chart", want)
		}
	}
	if strings.Contains(b.String(), "caddy") {
		t.Error("who has no number has a bar")
	}
	if err := Chart(&b, result.Report{}, result.Rate, ""); !errors.Is(err, errNothing) {
		t.Errorf("%v", err)
	}
}

func TestThisMachine(t *testing.T) {
	t.Parallel()
	if m := ThisMachine(nil); m.Cores < 1 || m.Memory < 1<<20 || m.Kernel == "" {
		t.Errorf("%+v", m)
	}
}
