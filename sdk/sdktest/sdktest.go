package sdktest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/core/pluginhost"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// within bounds each case.
const within = 30 * time.Second

// Options says how to run the plugin.
type Options struct {
	// Command is the executable (absolute) and its arguments. A test names its
	// own binary, whose TestMain calls sdk.ServePlugin when the arguments say so.
	Command []string
	// Env is added to the plugin's environment, "NAME=value" each.
	Env []string
	// Folder and DocumentRoot of the worker; Folder is "/" when empty.
	Folder, DocumentRoot string
	// Settings that are right; nil when the plugin has none.
	Settings json.RawMessage
	// BadSettings that Check must refuse; nil leaves that out.
	BadSettings json.RawMessage
	// Params are added to those of every request, for plugins that run CGI
	// scripts: SCRIPT_FILENAME.
	Params fastcgi.Params
	// Path of a request that the plugin answers; "/" when empty.
	Path string
	// Echo is a path that answers a POST with its body, as it comes. Without one
	// the cases that need it are left out.
	Echo string
	// EchoParams replace Params for Echo.
	EchoParams fastcgi.Params
	// Large is the size of a large body in bytes; 0 means 64 MiB. The plugin may
	// not have more than five eighths of it for passing one on.
	Large int64
	// Buffers says that the plugin's application takes the whole of a request
	// before it answers, as PHP does: it is not asked to stream.
	Buffers bool
	// Patience multiplies the bounds in time, for a machine that is busy with other
	// things; 0 means 1.
	Patience int
	// Only names the cases to run; none means all.
	Only []string
}

// Result of one case.
type Result struct {
	// Name of the case, and what it is about.
	Name, What string
	// Err says what is wrong, nil when nothing is.
	Err error
	// Skipped says why the case was left out.
	Skipped string
	Took    time.Duration
}

// Case is one part of the contract.
type Case struct {
	Name, What string
	run        func(*suite, context.Context) error
	// echo: it needs Options.Echo; streams: it is not for one that Buffers.
	echo, streams bool
}

// Cases are all of them, in the order they run.
func Cases() []Case {
	return []Case{
		{Name: "alone", What: "started by hand it explains itself and exits with an error", run: (*suite).alone},
		{Name: "handshake", What: "it starts, shakes hands and describes itself, the same each time", run: (*suite).handshake},
		{Name: "version", What: "it does not pretend to speak another version of the protocol", run: (*suite).version},
		{Name: "check", What: "it takes good settings, refuses bad ones, and says why", run: (*suite).checks},
		{Name: "serve", What: "it lends endpoints in its runtime folder and answers on kept connections", run: (*suite).serves},
		{Name: "slow", What: "it gets ready on a machine that stops it in the middle of its start", run: (*suite).slowStart},
		{Name: "concurrent", What: "it answers max_workers requests at once, and many one after the other", run: (*suite).concurrent},
		{Name: "stream", What: "pieces of a body come back before the next is sent", run: (*suite).streams, echo: true, streams: true},
		{Name: "bodies", What: "64 MiB go through both ways, whole, in bounded memory", run: (*suite).bodies, echo: true},
		{Name: "backpressure", What: "it waits for a client that takes nothing, and does not hoard", run: (*suite).backpressure, echo: true, streams: true},
		{Name: "cancel", What: "requests whose client leaves give their place back", run: (*suite).cancels},
		{Name: "signals", What: "it lives through SIGTERM and SIGINT while its host is there", run: (*suite).ignoresSignals},
		{Name: "killed", What: "killed, it is started again, and nothing of the first is left", run: (*suite).comesBack},
		{Name: "stop", What: "told to stop while idle it ends at once and leaves nothing", run: (*suite).stops},
		{Name: "stop-busy", What: "told to stop with a request running it finishes that and ends", run: (*suite).stopsBusy, echo: true},
		{Name: "orphan", What: "when its host is killed it ends within 2 s, with all it started", run: (*suite).orphaned},
	}
}

// TB is what Run needs of a testing.T.
type TB interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
	Output() io.Writer
}

// Run fails the test for each part of the contract the plugin does not keep.
func Run(t TB, o Options) {
	t.Helper()
	for _, r := range Check(t.Context(), o, slog.New(slog.NewTextHandler(t.Output(), nil)), nil) {
		switch {
		case r.Err != nil:
			t.Errorf("%s: %s: %v", r.Name, r.What, r.Err)
		case r.Skipped != "":
			t.Logf("%s: left out: %s", r.Name, r.Skipped)
		}
	}
}

// Check runs the cases and tells of each when it is over, if report is not nil.
func Check(ctx context.Context, o Options, log *slog.Logger, report func(Result)) []Result {
	var results []Result
	for _, c := range Cases() {
		if len(o.Only) > 0 && !slices.Contains(o.Only, c.Name) {
			continue
		}
		r := Result{Name: c.Name, What: c.What, Skipped: o.skips(c)}
		if r.Skipped == "" {
			began := time.Now()
			r.Err = o.check(ctx, c, log)
			r.Took = time.Since(began)
		}
		results = append(results, r)
		if report != nil {
			report(r)
		}
	}
	return results
}

func (o *Options) skips(c Case) string {
	switch {
	case c.echo && o.Echo == "":
		return "no path is named that answers with what it is sent (echo)"
	case c.streams && o.Buffers:
		return "the application takes whole requests"
	}
	return ""
}

// check runs one case, under a host of its own.
func (o *Options) check(ctx context.Context, c Case, log *slog.Logger) (err error) {
	// Not a test's own temporary folder: its path may be too long for sockets.
	folder, err := os.MkdirTemp("", "tqs")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	host, err := pluginhost.New(pluginhost.Options{RuntimeFolder: folder, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }() //nolint:contextcheck // nothing may cut the last reaper short
	s := &suite{Options: *o, host: host, folder: folder, mark: "SDKTEST_RUN=" + rand.Text()}
	s.Env = append(slices.Clip(s.Env), s.mark)
	if s.Folder == "" {
		s.Folder = "/"
	}
	if s.Path == "" {
		s.Path = "/"
	}
	if s.Large == 0 {
		s.Large = 64 << 20
	}
	bound := s.patience(within)
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("not over after %v", bound))
	defer cancel()
	return c.run(s, ctx)
}

// patience is how long something may take.
func (o *Options) patience(d time.Duration) time.Duration {
	return d * time.Duration(max(o.Patience, 1))
}

// Failed are the names of the cases that failed.
func Failed(results []Result) []string {
	var names []string
	for _, r := range results {
		if r.Err != nil {
			names = append(names, r.Name)
		}
	}
	return names
}

// Write writes a result as lines for a terminal.
func (r Result) Write(w io.Writer) error {
	verdict, rest := "ok  ", fmt.Sprintf(" (%v)", r.Took.Round(10*time.Millisecond))
	switch {
	case r.Err != nil:
		verdict, rest = "FAIL", "\n"+indent(r.Err.Error())
	case r.Skipped != "":
		verdict, rest = "skip", "\n"+indent(r.Skipped)
	}
	_, err := fmt.Fprintf(w, "%s  %-13s %s%s\n", verdict, r.Name, r.What, rest)
	return err
}

func indent(text string) string {
	const margin = "                    "
	return margin + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+margin)
}
