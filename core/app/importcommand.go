package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mevdschee/tqserver/core/fpmimport"
	"github.com/mevdschee/tqserver/sdk"
)

func importCommand(b Build) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "import",
		Short:   "Make a configuration of another server's",
		Long:    "Make a configuration of another server's: of the pools of PHP-FPM.",
		Example: "  tqserver import php-fpm /etc/php/8.2/fpm/pool.d --out /etc/tqserver",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(importFPMCommand(b))
	return cmd
}

// importFlags are those of import php-fpm.
type importFlags struct {
	out, prefix, runtime string
	roots                []string
}

func importFPMCommand(b Build) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "php-fpm DIR|FILE...",
		Short: "Make a worker of every PHP-FPM pool",
		Long: `Read the configuration of PHP-FPM and write, below --out, workers/POOL/config/worker.yaml
for every pool, a tqserver.yaml that serves them on the pools' own addresses (the web
server needs no change), and import-report.md, which tells of every directive that
PHP-FPM has what became of it: taken over, equivalent, not needed, or not supported
and why. Of a folder all *.conf are read, and the global directives of the
php-fpm.conf above it. Nothing that is there already is overwritten.

PHP-FPM runs any file that the web server names. Here only scripts below a worker's
document_root run: it is taken from --root, else guessed (from chdir, open_basedir or
/var/www) and told.`,
		Example: `  tqserver import php-fpm /etc/php/8.2/fpm/pool.d --out /etc/tqserver
  tqserver import php-fpm /etc/php-fpm.conf --root /srv/www --root shop=/srv/shop/public
  tqserver check --config /etc/tqserver/tqserver.yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return importFPM(cmd.Context(), b, f, args, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&f.out, "out", "imported", "`folder` to write to")
	cmd.Flags().StringArrayVar(&f.roots, "root", nil, "document root of all pools, or of one: `[POOL=]DIR` (repeatable)")
	cmd.Flags().StringVar(&f.prefix, "prefix", "/usr", "`folder` PHP was installed to, where relative paths begin")
	cmd.Flags().StringVar(&f.runtime, "runtime-folder", "/run/tqserver", "server.runtime_folder to write")
	return cmd
}

func importFPM(ctx context.Context, b Build, f importFlags, paths []string, stdout io.Writer) error {
	o := fpmimport.Options{Paths: paths, Prefix: f.prefix, Env: os.LookupEnv, Roots: map[string]string{}, Check: phpCheck(ctx, b)}
	var err error
	if o.Out, err = filepath.Abs(f.out); err != nil {
		return err
	}
	if o.RuntimeFolder, err = filepath.Abs(f.runtime); err != nil {
		return err
	}
	for _, root := range f.roots {
		name, dir, ok := strings.Cut(root, "=")
		if !ok {
			name, dir = "", root
		}
		if o.Roots[name], err = filepath.Abs(dir); err != nil {
			return err
		}
	}
	if o.Known, err = knownSettings(b); err != nil {
		return err
	}
	result, err := fpmimport.Import(o)
	if err != nil {
		return err
	}
	if err := result.Write(o.Out); err != nil {
		return err
	}
	for _, pool := range result.Pools {
		fmt.Fprintf(stdout, "%s\n", filepath.Join(o.Out, "workers", pool, "config", "worker.yaml"))
	}
	config := filepath.Join(o.Out, result.Config)
	fmt.Fprintf(stdout, "%s\n%s\n", config, filepath.Join(o.Out, result.Report))
	if len(result.Look) > 0 {
		fmt.Fprintf(stdout, "\nTo look at:\n")
	}
	for _, line := range result.Look {
		fmt.Fprintf(stdout, "- %s\n", line)
	}
	fmt.Fprintf(stdout, "\nNext: tqserver check --config %s; stop PHP-FPM, which has the pools' addresses; tqserver serve --config %s\n", config, config)
	return nil
}

// knownSettings says which settings the binary has.
func knownSettings(b Build) (func(string) bool, error) {
	d, err := describe(b)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, page := range d.pages {
		for _, f := range page.Fields {
			known[f.Path] = true
		}
	}
	return func(key string) bool { return known[key] }, nil
}

// phpCheck asks the binary's own plugin, in this process; nil when it has none.
func phpCheck(ctx context.Context, b Build) func(folder, root string, text json.RawMessage) []fpmimport.Problem {
	for _, p := range b.Plugins {
		if p.Name != "php" {
			continue
		}
		return func(folder, root string, text json.RawMessage) []fpmimport.Problem {
			var problems []fpmimport.Problem
			plugin := p.New(slog.New(slog.DiscardHandler))
			for _, problem := range plugin.Check(ctx, sdk.Worker{Name: filepath.Base(folder), Folder: folder, DocumentRoot: root, Settings: text}) {
				problems = append(problems, fpmimport.Problem(problem))
			}
			return problems
		}
	}
	return nil
}
