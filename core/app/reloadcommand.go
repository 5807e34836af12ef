package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/control"
)

// controlFlags say which server a command talks to, and how long.
type controlFlags struct {
	configFlags
	socket  string
	timeout time.Duration
}

func (f *controlFlags) add(cmd *cobra.Command, timeout time.Duration) {
	f.configFlags.add(cmd)
	cmd.Flags().StringVar(&f.socket, "socket", "", "control socket of the server; empty means what the configuration says")
	cmd.Flags().DurationVar(&f.timeout, "timeout", timeout, "how long the server may take")
}

// call runs do with a client of the running server.
func (f *controlFlags) call(ctx context.Context, b Build, do func(context.Context, *control.Client) error) error {
	if f.timeout <= 0 || f.timeout > control.MaxWait {
		return fmt.Errorf("--timeout %v: must be above 0 and at most %v", f.timeout, control.MaxWait)
	}
	path, whence := f.socket, "--socket names it"
	if path == "" {
		config, err := findServer(ctx, b, f.configFlags)
		if err != nil {
			return err
		}
		path = config.controlSocket()
		whence = fmt.Sprintf("%s says server.runtime_folder: %s", f.names(), config.RuntimeFolder)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	err := do(ctx, control.NewClient(path))
	if errors.Is(err, control.ErrNoServer) {
		err = fmt.Errorf("%w: does it run? %s, and a relative path counts from the folder in which serve was started", err, whence)
	}
	return err
}

func reloadCommand(b Build) *cobra.Command {
	var f controlFlags
	var dry bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the running server take over its configuration",
		Long: `Make the running server read its configuration and workers again and take over what
changed, without losing a request: what is new starts beside what serves, then
requests are switched over, then the old finishes its requests within
server.drain_timeout and ends. What did not change is not touched. When anything is
wrong nothing changes, and all of it is told. SIGHUP does the same.

A worker whose worker.yaml is wrong, or whose processes do not start, goes on as it
was; a new one stays away; the rest is taken over.

Exit codes: 0 taken over, 1 not, or not all of it; the message says what.`,
		Example: `  tqserver reload
  tqserver reload --dry-run              say what would be kept, started, replaced and stopped
  tqserver reload --config /etc/tqserver/tqserver.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.call(cmd.Context(), b, func(ctx context.Context, c *control.Client) error {
				r, err := c.Reload(ctx, dry)
				if errors.Is(err, control.ErrNoServer) {
					return err // nothing serves on
				}
				if err != nil && !dry {
					return fmt.Errorf("the configuration of before serves on:\n%w", err)
				}
				if err != nil {
					return fmt.Errorf("a reload would change nothing:\n%w", err)
				}
				if err := writePlan(cmd.OutOrStdout(), r.Changes); err != nil {
					return err
				}
				if r.Problems != "" {
					return fmt.Errorf("these workers go on as they were, or stay away if they are new:\n%s", r.Problems)
				}
				return nil
			})
		},
	}
	f.add(cmd, 5*time.Minute)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check everything and say what would happen, and change nothing")
	return cmd
}

// writePlan writes a line for each change.
func writePlan(w io.Writer, changes []api.Change) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range changes {
		line := string(c.Kind) + "\t" + c.What
		if c.Why != "" {
			line += "\t" + c.Why
		}
		fmt.Fprintln(t, line)
	}
	return t.Flush()
}

func restartCommand(b Build) *cobra.Command {
	var f controlFlags
	cmd := &cobra.Command{
		Use:   "restart WORKER",
		Short: "Replace a worker's processes without losing a request",
		Long: `Start a worker's processes anew beside the old ones (for PHP: a fresh opcache), warm
them up, move the requests over, and end the old ones when theirs have finished. When the
new ones do not start, or do not answer the warm-up, the old ones stay and the command
says why. Other workers are not touched. A worker of type go whose source has changed is
built first.

Exit codes: 0 restarted, 1 not; the message says why.`,
		Example: `  tqserver restart blog
  tqserver restart blog --timeout 15m`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.call(cmd.Context(), b, func(ctx context.Context, c *control.Client) error {
				if err := c.Restart(ctx, args[0]); err != nil {
					return fmt.Errorf("not restarted: %w", err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "restarted %s\n", args[0])
				return nil
			})
		},
	}
	f.add(cmd, 5*time.Minute)
	return cmd
}
