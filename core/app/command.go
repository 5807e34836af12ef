package app

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/pluginhost"
)

// configFlags choose the configuration; every command that reads it has them.
type configFlags struct {
	files []string
	sets  []string
	dev   bool // only of serve
}

func (f *configFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&f.files, "config", "c", []string{"config/tqserver.yaml"}, "configuration `file`, or etcd://HOST[:PORT]/PREFIX (repeatable: a later one overrides an earlier one)")
	cmd.Flags().StringArrayVar(&f.sets, "set", nil, "override one setting: `section.key=value` (repeatable)")
}

func rootCommand(b Build) *cobra.Command {
	root := &cobra.Command{
		Use:   "tqserver",
		Short: "Serve PHP and Go applications, behind a web server by FastCGI or directly by HTTP",
		Long: `TQServer takes FastCGI from nginx, Apache, Caddy or lighttpd and HTTP from anyone,
and runs every hosted application (a worker: a folder under workers/) in a
supervised process: a php-cgi pool, a native Go handler, or a plugin.`,
		Example: `  tqserver serve                          do what config/tqserver.yaml says
  tqserver check                          say everything that is wrong with it
  tqserver serve --set http.listen='["127.0.0.1:8000"]'`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(serveCommand(b), checkCommand(b), modulesCommand(b), versionCommand(b), pluginCommand(b), configCommand(b), importCommand(b), guardianCommand())
	root.AddCommand(reloadCommand(b), restartCommand(b), statusCommand(b))
	return root
}

func serveCommand(b Build) *cobra.Command {
	var f configFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve until SIGTERM or SIGINT",
		Long: `Serve until SIGTERM or SIGINT. Then no new request is taken, those that run may
finish within server.drain_timeout, every process ends, and sockets are removed.
A second signal cuts it short.

With --config etcd://HOST[:PORT]/PREFIX (etcds:// by TLS) the configuration is the key
PREFIX/tqserver.yaml and what it includes, workers are PREFIX/workers/NAME/worker.yaml,
and a change is taken over by itself; see docs/guide/etcd.md.

A worker of type go whose folder holds Go source is built before it starts when its
executable is missing or older.

With --dev the source of such workers is watched: a change is built and takes over
without losing a request, one that does not build shows as a page with the compiler's
words, and the version before serves on. Configuration files are watched, too
(server.watch). It is for the machine somebody works on: the pages show source.

Exit codes: 0 stopped in order, 1 the configuration or the start failed,
3 stopped, but requests or processes had to be cut off.`,
		Example: `  tqserver serve
  tqserver serve --dev
  tqserver serve --config /etc/tqserver/tqserver.yaml
  tqserver serve --config etcd://10.0.0.1,10.0.0.2/tqserver
  tqserver serve --set log.level=debug --set http.idle_timeout=5s
  TQSERVER_LOG__FORMAT=json tqserver serve`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), b, f, cmd.ErrOrStderr()) },
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.dev, "dev", false, "watch the workers' source, rebuild, and show what does not build")
	return cmd
}

func checkCommand(b Build) *cobra.Command {
	var f configFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and every worker, and start nothing",
		Long: `Check the configuration, every worker.yaml, and what they name (programs, folders);
each plugin is asked to check its own settings. Prints everything that is wrong,
with file, line and path. An address that another process listens on is a mistake, too,
but for the server that runs with this configuration. Exit code 0: serve would start.`,
		Example: `  tqserver check
  tqserver check --config /etc/tqserver/tqserver.yaml && systemctl restart tqserver`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := check(cmd.Context(), b, f, cmd.ErrOrStderr()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: the configuration is valid\n", f.names())
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func modulesCommand(b Build) *cobra.Command {
	var f configFlags
	cmd := &cobra.Command{
		Use:   "modules",
		Short: "List the modules compiled in, and which are on",
		Long:  "List the modules compiled in. A module is on when its section stands in the configuration.",
		Example: `  tqserver modules
  tqserver modules --config /etc/tqserver/tqserver.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, r, err := f.options(cmd.Context(), false)
			if err != nil {
				return err
			}
			o.Sections = sections(b)
			tree, err := conf.Load(o)
			if err = joinProblems(r.problems, err); err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, d := range b.Modules {
				state := "off"
				if tree.Has(d.Section.Key()) {
					state = "on"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", d.ID, state, d.Summary)
			}
			return w.Flush()
		},
	}
	f.add(cmd)
	return cmd
}

func versionCommand(b Build) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  tqserver version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(cmd.OutOrStdout(), "tqserver %s %s %s/%s\n", b.version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

func guardianCommand() *cobra.Command {
	return &cobra.Command{
		Use:    pluginhost.GuardianArg,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if code := pluginhost.GuardianMain(os.Stdin); code != exitOK {
				return &exitError{code: code}
			}
			return nil
		},
	}
}

// version is what the build was given, else what the toolchain stamped.
func (b Build) version() string {
	if b.Version != "" {
		return b.Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// sections are all top-level keys a configuration may have.
func sections(b Build) []conf.Spec {
	specs := coreSections()
	for _, d := range b.Modules {
		specs = append(specs, d.Section)
	}
	return specs
}
