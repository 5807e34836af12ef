package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/cmd/tqbench/contestant"
	"github.com/mevdschee/tqserver/cmd/tqbench/report"
	"github.com/mevdschee/tqserver/cmd/tqbench/result"
	"github.com/mevdschee/tqserver/cmd/tqbench/scenario"
)

// quickEnd is when, after its begin, a quick run asks nobody any more; stopping
// and writing are done within 3 minutes then, on a busy machine too.
const quickEnd = 2*time.Minute + 20*time.Second

// errTime ends a quick run.
var errTime = errors.New("the time of --quick was over")

// run is the whole of a benchmark.
func run(ctx context.Context, f flags, stdout, stderr io.Writer) error {
	if err := f.check(); err != nil {
		return err
	}
	chosen, err := choose(f.scenarios, f.contestants)
	if err != nil {
		return err
	}
	tools, err := contestant.Find(given(f.tools), needs(chosen))
	if err != nil {
		return err
	}
	if err := tools.CheckPHP(ctx); err != nil {
		return err
	}
	// 1,000 pools of PHP-FPM are as many sockets.
	if err := raiseFiles(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tqb") // not below the project: unix sockets need short paths
	if err != nil {
		return fmt.Errorf("folder for the run: %w", err)
	}
	defer contestant.Sweep(dir)
	if f.keep {
		fmt.Fprintln(stderr, "configurations and logs are kept in", dir)
	} else {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Apache's processes are another user's
		return fmt.Errorf("folder for the run: %w", err)
	}

	r := result.Report{
		Started: time.Now(), Arguments: f.arguments(), Quick: f.quick, Rounds: f.rounds, Duration: f.duration,
		Machine: report.ThisMachine(tools.Versions(ctx)), Revision: revision(ctx),
	}
	r.Machine.Versions["go"] = runtime.Version()
	site, err := contestant.NewSite(ctx, dir, tools, slices.ContainsFunc(chosen, func(s scenario.Scenario) bool { return s.Computes }))
	if err != nil {
		return err
	}
	say := teller(stderr, r.Started, steps(chosen, f.rounds))
	if site.Took > 0 {
		say("the script that computes takes %v alone", site.Took.Round(10*time.Microsecond))
	}
	if f.quick {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, r.Started.Add(quickEnd), errTime)
		defer cancel()
	}
	for _, s := range chosen {
		if ctx.Err() != nil {
			r.Scenarios = append(r.Scenarios, result.Scenario{ID: s.ID, Title: s.Title, How: s.How, Skipped: context.Cause(ctx).Error()})
			continue
		}
		say("%s: %s", s.ID, s.Title)
		r.Scenarios = append(r.Scenarios, s.Run(ctx, scenario.Options{
			Site: site, Rounds: f.rounds, Duration: f.duration, Quick: f.quick, Progress: say,
		}))
	}
	r.Took = time.Since(r.Started)
	report.Table(stdout, r)
	if err := report.Write(f.out, r); err != nil {
		return err
	}
	fmt.Fprintln(stderr, "written:", filepath.Join(f.out, "results.md"), "and what it shows")
	if err := ctx.Err(); err != nil && !errors.Is(context.Cause(ctx), errTime) {
		return fmt.Errorf("not complete: %w", err)
	}
	return nil
}

// given are the tools that the flags name and those that this project builds.
func given(named map[string]string) contestant.Tools {
	tools := contestant.Tools{}
	for _, t := range []contestant.Tool{contestant.Server, contestant.Peer} {
		if path := filepath.Join("bin", string(t)); exists(path) {
			tools[t] = path
		}
	}
	for name, path := range named {
		tools[contestant.Tool(name)] = path
	}
	return tools
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// raiseFiles lets this process and those it starts open as many files as the
// system allows.
func raiseFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	return nil
}

// steps is how many measurements a run has.
func steps(chosen []scenario.Scenario, rounds int) int {
	n := 0
	for _, s := range chosen {
		n += len(s.Contestants) * s.RoundsOf(rounds)
	}
	return n
}

// teller shows how far a run is. Lines of rounds count.
func teller(w io.Writer, began time.Time, steps int) func(string, ...any) {
	done := 0
	return func(format string, args ...any) {
		if strings.Contains(format, "round %d of") {
			done++
		}
		fmt.Fprintf(w, "%6s %3d/%d  %s\n", time.Since(began).Round(time.Second), done, steps, fmt.Sprintf(format, args...))
	}
}

// arguments are the flags as they were meant, for the report.
func (f flags) arguments() []string {
	args := []string{"--rounds", strconv.Itoa(f.rounds), "--duration", f.duration.String()}
	if f.quick {
		args = append([]string{"--quick"}, args...)
	}
	if len(f.scenarios) > 0 {
		args = append(args, "--scenario", strings.Join(f.scenarios, ","))
	}
	if len(f.contestants) > 0 {
		args = append(args, "--contestant", strings.Join(f.contestants, ","))
	}
	return args
}

// revision is the commit that the working folder is at, if it is one's.
func revision(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
