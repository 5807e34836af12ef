package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mevdschee/tqserver/core/scaffold"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/sdktest"
)

func pluginCommand(b Build) *cobra.Command {
	names := make([]string, 0, len(b.Plugins))
	for _, p := range b.Plugins {
		names = append(names, p.Name)
	}
	cmd := &cobra.Command{
		Use:   "plugin NAME",
		Short: "Make and test plugins; serve one of the binary's own",
		Long: `Make a plugin (new), test one (test), or serve one of the binary's own over the
plugin protocol. The last is how the server starts those; by hand it only explains
itself.`,
		Example: `  tqserver plugin new greeter
  tqserver plugin test bin/greeter
  tqserver plugin php`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: names,
		RunE: func(_ *cobra.Command, args []string) error {
			for _, p := range b.Plugins {
				if p.Name == args[0] {
					sdk.ServePlugin(p.New(sdk.Logger()))
				}
			}
			return nil
		},
	}
	cmd.AddCommand(pluginNewCommand(), pluginTestCommand())
	return cmd
}

func pluginNewCommand() *cobra.Command {
	var o scaffold.Options
	cmd := &cobra.Command{
		Use:   "new DIR",
		Short: "Write the beginning of a plugin in Go",
		Long: `Write the beginning of a plugin in Go into a new folder: a program with settings,
tests, and a configuration by which the server runs it. It builds, passes its
tests and serves as it is.`,
		Example: `  tqserver plugin new greeter
  tqserver plugin new --module example.org/greeter --sdk ~/src/tqserver ./greeter`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			absolute, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			if o.Name == "" {
				o.Name = filepath.Base(absolute)
			}
			if slices.Contains(ownTypes(), o.Name) {
				return fmt.Errorf("%q is a type of worker of ours; choose another name (--name)", o.Name)
			}
			if o.Module == "" {
				o.Module = "example.org/" + o.Name
			}
			files, err := scaffold.Write(dir, o)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "wrote %d files to %s\n\n  cd %s\n", len(files), dir, dir)
			if o.SDK == "" {
				fmt.Fprintln(out, "  go mod tidy")
			}
			fmt.Fprintf(out, "  go test ./...\n  go build -o bin/%s .\n  tqserver serve --config tqserver.yaml\n", o.Name)
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Module, "module", "", "`path` of its Go module (example.org/NAME)")
	cmd.Flags().StringVar(&o.Name, "name", "", "`name` of the plugin, which is the type of its workers (that of the folder)")
	cmd.Flags().StringVar(&o.SDK, "sdk", "", "`folder` with the source of TQServer to build with, instead of the published module")
	return cmd
}

// testFlags are those of `plugin test`.
type testFlags struct {
	options               sdktest.Options
	settings, badSettings string
	params                []string
	verbose               bool
}

func pluginTestCommand() *cobra.Command {
	var f testFlags
	var cases strings.Builder
	for _, c := range sdktest.Cases() {
		fmt.Fprintf(&cases, "  %-13s %s\n", c.Name, c.What)
	}
	cmd := &cobra.Command{
		Use:   "test EXECUTABLE [ARGUMENT...]",
		Short: "Check an executable against the plugin protocol",
		Long: `Run a plugin's executable, written in any language, as the server does, and check
everything that the server relies on:

` + cases.String() + `
Some of it needs an application that answers a POST with its body, piece by piece
as it comes; --echo names the path. Exit code 0: nothing failed.`,
		Example: `  tqserver plugin test --echo /echo bin/greeter
  tqserver plugin test --settings '{"color": "red"}' --bad-settings '{"colour": 1}' bin/legacy -- --quiet
  tqserver plugin test --run stream --run cancel --verbose --echo /echo bin/greeter`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.test(cmd, args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.settings, "settings", "", "settings of the worker that are right: `JSON`, or @file")
	flags.StringVar(&f.badSettings, "bad-settings", "", "settings that the plugin must refuse: `JSON`, or @file")
	flags.StringVar(&f.options.Folder, "folder", "", "`folder` of the worker (the current one)")
	flags.StringVar(&f.options.DocumentRoot, "document-root", "", "document root of the worker, a `folder`")
	flags.StringVar(&f.options.Path, "path", "/", "`path` that is answered to a GET")
	flags.StringVar(&f.options.Echo, "echo", "", "`path` that answers a POST with its body")
	flags.IntVar(&f.options.Patience, "patience", 1, "factor for what the plugin may take in time, on a busy machine")
	flags.BoolVar(&f.options.Buffers, "buffers", false, "the application takes whole requests before it answers, as CGI scripts do")
	flags.StringArrayVar(&f.params, "param", nil, "`NAME=value` for the requests' CGI environment, SCRIPT_FILENAME for one (repeatable)")
	flags.StringArrayVar(&f.options.Env, "env", nil, "`NAME=value` for the plugin's environment (repeatable)")
	flags.StringArrayVar(&f.options.Only, "run", nil, "`case` to run instead of all (repeatable)")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show the log of the host and of the plugin")
	return cmd
}

func (f *testFlags) test(cmd *cobra.Command, args []string) error {
	o := &f.options
	executable, err := osexec.LookPath(args[0])
	if errors.Is(err, osexec.ErrDot) {
		err = nil
	}
	if err != nil {
		return err
	}
	if executable, err = filepath.Abs(executable); err != nil {
		return err
	}
	o.Command = append([]string{executable}, args[1:]...)
	if o.Settings, err = jsonFlag("settings", f.settings); err != nil {
		return err
	}
	if o.BadSettings, err = jsonFlag("bad-settings", f.badSettings); err != nil {
		return err
	}
	for _, folder := range []*string{&o.Folder, &o.DocumentRoot} {
		if *folder == "" && folder == &o.DocumentRoot {
			continue
		}
		if *folder, err = filepath.Abs(*folder); err != nil {
			return err
		}
	}
	for _, p := range f.params {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return fmt.Errorf("--param %q: write NAME=value", p)
		}
		o.Params = append(o.Params, fastcgi.Param{Name: name, Value: value})
	}
	for _, name := range o.Only {
		if !slices.ContainsFunc(sdktest.Cases(), func(c sdktest.Case) bool { return c.Name == name }) {
			return fmt.Errorf("--run %s: there is no such case; --help lists them", name)
		}
	}
	log := slog.DiscardHandler
	if f.verbose {
		log = slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelDebug})
	}
	return reportCases(cmd.OutOrStdout(), o.Command[0], sdktest.Check(cmd.Context(), *o, slog.New(log), func(r sdktest.Result) {
		_ = r.Write(cmd.OutOrStdout())
	}))
}

// reportCases says what came of all of them.
func reportCases(out io.Writer, executable string, results []sdktest.Result) error {
	failed := sdktest.Failed(results)
	skipped := 0
	for _, r := range results {
		if r.Skipped != "" {
			skipped++
		}
	}
	fmt.Fprintf(out, "\n%s: %d passed, %d failed, %d left out\n", executable, len(results)-len(failed)-skipped, len(failed), skipped)
	if len(failed) > 0 {
		err := fmt.Errorf("failed: %s", strings.Join(failed, ", "))
		return &exitError{code: exitFailed, err: err}
	}
	return nil
}

// jsonFlag reads a flag that is JSON, or @ and a file of it.
func jsonFlag(name, value string) (json.RawMessage, error) {
	text := []byte(value)
	if file, ok := strings.CutPrefix(value, "@"); ok {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("--%s: %w", name, err)
		}
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	if !json.Valid(text) {
		return nil, fmt.Errorf("--%s is not JSON: %.100s", name, text)
	}
	return text, nil
}
