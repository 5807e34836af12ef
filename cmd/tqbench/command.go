package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mevdschee/tqserver/cmd/tqbench/contestant"
	"github.com/mevdschee/tqserver/cmd/tqbench/report"
	"github.com/mevdschee/tqserver/cmd/tqbench/scenario"
)

// flags of a run.
type flags struct {
	scenarios   []string
	contestants []string
	tools       map[string]string
	rounds      int
	duration    time.Duration
	quick       bool
	keep        bool
	out         string
}

const (
	// fullOut is where the report of everything goes, otherOut where that of a
	// part does, so that a trial does not replace it.
	fullOut, otherOut = "docs/benchmarks", "run/benchmarks"

	fullRounds, fullDuration   = 7, 4 * time.Second
	quickRounds, quickDuration = 1, time.Second
)

func command(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	root := &cobra.Command{
		Use:   "tqbench",
		Short: "Measure TQServer beside its rivals",
		Long: `tqbench starts web servers with PHP-FPM, php-cgi or Go applications, and TQServer, all with the same
scripts, settings and number of PHP processes, and drives them on the loopback interface, one after the other, round by
round. It prints a table and writes results.json, results.md and charts.

Nothing else should run on the machine meanwhile: the ratios stand that, the numbers do not.`,
		Example: `  make bench                                       everything: builds, installs the rivals, about 45 minutes
  bin/tqbench --quick                              everything once, within 3 minutes, to see whether it works
  bin/tqbench --scenario hello --contestant tqserver,nginx-fpm
  bin/tqbench --scenario hello,cpu --rounds 15 --duration 10s --out /tmp/bench
  bin/tqbench list                                 the scenarios and contestants
  bin/tqbench render docs/benchmarks/results.json  the table, Markdown and charts once more`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.quick {
				if !cmd.Flags().Changed("rounds") {
					f.rounds = quickRounds
				}
				if !cmd.Flags().Changed("duration") {
					f.duration = quickDuration
				}
			}
			f.out = f.folder()
			return run(cmd.Context(), f, stdout, stderr)
		},
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	fs := root.Flags()
	fs.StringSliceVar(&f.scenarios, "scenario", nil, "only these scenarios, separated by commas")
	fs.StringSliceVar(&f.contestants, "contestant", nil, "only these contestants, separated by commas; ratios need the baseline among them")
	fs.StringToStringVar(&f.tools, "tool", map[string]string{}, "where a tool is, as php-fpm=/usr/sbin/php-fpm8.2; otherwise the newest on PATH")
	fs.IntVar(&f.rounds, "rounds", fullRounds, "rounds of every scenario, of which medians are taken")
	fs.DurationVar(&f.duration, "duration", fullDuration, "how long a contestant is under load in a round, in whole seconds")
	fs.BoolVar(&f.quick, "quick", false, "one round of a second each, and an end within 3 minutes whatever is left")
	fs.BoolVar(&f.keep, "keep", false, "keep the folder with configurations and logs, and say where it is")
	fs.StringVar(&f.out, "out", "", "folder of the report (a full run: "+fullOut+", otherwise "+otherOut+")")
	root.AddCommand(listCommand(stdout), renderCommand(stdout))
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}

func listCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List scenarios and contestants", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(stdout, "scenarios (--scenario):")
			for _, s := range scenario.All() {
				fmt.Fprintf(stdout, "  %-20s %s\n  %-20s %s\n  %-20s with %s\n", s.ID, s.Title, "", s.How, "", join(s.Contestants))
			}
			fmt.Fprintln(stdout, "contestants (--contestant):")
			for _, c := range contestant.All() {
				fmt.Fprintf(stdout, "  %-20s %s\n  %-20s needs %s\n", c.ID, c.Title, "", join(c.Tools))
			}
			return nil
		},
	}
}

func renderCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "render FILE [FOLDER]", Short: "Show the report of a run again, and write it into a folder", Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := report.Read(args[0])
			if err != nil {
				return err
			}
			report.Table(stdout, r)
			if len(args) == 2 {
				return report.Write(args[1], r)
			}
			return nil
		},
	}
}

func join[T ~string](all []T) string {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = string(s)
	}
	return strings.Join(texts, ", ")
}

// check finds what is wrong with the flags, all of it at once.
func (f flags) check() error {
	var errs []error
	if f.rounds < 1 || f.rounds > 1000 {
		errs = append(errs, fmt.Errorf("--rounds %d: give a number from 1 to 1000", f.rounds))
	}
	if f.duration < time.Second || f.duration > time.Hour || f.duration%time.Second != 0 {
		errs = append(errs, fmt.Errorf("--duration %v: give whole seconds, from 1s to 1h", f.duration))
	}
	for name := range f.tools {
		if !slices.Contains(contestant.AllTools(), contestant.Tool(name)) {
			errs = append(errs, fmt.Errorf("--tool %s: there is no need for it; there is for: %s", name, join(contestant.AllTools())))
		}
	}
	return errors.Join(errs...)
}

// folder is where the report goes.
func (f flags) folder() string {
	switch {
	case f.out != "":
		return f.out
	case f.quick || len(f.scenarios)+len(f.contestants) > 0:
		return otherOut
	default:
		return fullOut
	}
}
