package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/module"
	"github.com/mevdschee/tqserver/sdk"
)

// Exit codes of the program.
const (
	exitOK     = 0
	exitFailed = 1 // configuration or start failed; see the message
	exitForced = 3 // stopped, but requests or processes had to be cut off
)

// Build says what is in a binary. It is data: nothing runs before Main.
type Build struct {
	// Version as `version` prints it; empty means what the Go toolchain stamped.
	Version string
	Modules []module.Descriptor
	// Plugins the binary serves itself, by `plugin NAME`.
	Plugins []Plugin
}

// Plugin is one of the binary's own plugins.
type Plugin struct {
	Name string
	New  func(*slog.Logger) sdk.Plugin
}

// exitError carries an exit code out of a command; its message, if any, has
// been shown.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d: %v", e.code, e.err) }
func (e *exitError) Unwrap() error { return e.err }

// Main runs the command line and returns the exit code. Only main may exit.
func Main(b Build) int {
	return run(context.Background(), b, os.Args[1:], os.Stdout, os.Stderr)
}

func run(ctx context.Context, b Build, args []string, stdout, stderr io.Writer) int {
	cmd := rootCommand(b) //nolint:contextcheck // each command gets ctx from cobra
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.code
	}
	fmt.Fprintf(stderr, "tqserver: %v\n", err)
	return exitFailed
}

// load reads the configuration and says which modules are on. Everything
// wrong with it is in the one error.
func load(ctx context.Context, b Build, f configFlags) (*conf.Tree, []module.Descriptor, error) {
	o, r, err := f.options(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	return assemble(b, o, r)
}

// assemble is load, when what is not on this machine's disk has been read.
func assemble(b Build, o conf.Options, r remote) (*conf.Tree, []module.Descriptor, error) {
	o.Sections = sections(b)
	tree, err := conf.Load(o)
	if err = joinProblems(r.problems, err); err != nil {
		return nil, nil, err
	}
	on, err := module.Assemble(b.Modules, tree, coreSections()...)
	if err != nil {
		return nil, nil, err
	}
	return tree, on, nil
}

// joinProblems makes one *conf.Errors of problems and those of err.
func joinProblems(problems []conf.Problem, err error) error {
	if len(problems) == 0 {
		return err
	}
	return &conf.Errors{Problems: append(slices.Clone(problems), conf.ProblemsOf(err)...)}
}
