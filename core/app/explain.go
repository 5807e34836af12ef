package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

func configCommand(b Build) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration, and explain the settings",
		Long:  "Show what the layers of the configuration add up to, explain the settings, and write their reference.",
		Example: `  tqserver config show --origin
  tqserver config explain http.idle_timeout
  tqserver config explain worker.php.pool`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(showCommand(b), explainCommand(b), referenceCommand(b))
	return cmd
}

func showCommand(b Build) *cobra.Command {
	var f configFlags
	var o conf.ShowOptions
	var format string
	cmd := &cobra.Command{
		Use:   "show [SECTION]...",
		Short: "Print the merged configuration, defaults included",
		Long: `Print what the layers of the configuration add up to: every setting of the sections
that are on, defaults included. With --origin also where each value comes from:
the layer, the file, line and column, or the source of a default. Secrets are masked.`,
		Example: `  tqserver config show
  tqserver config show --origin http
  TQSERVER_LOG__LEVEL=debug tqserver config show --origin --format json log`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch format {
			case "yaml":
			case "json":
				o.JSON = true
			default:
				return fmt.Errorf("--format %q is not known; write yaml or json", format)
			}
			text, err := show(cmd.Context(), b, f, o, args)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", bytes.TrimRight(text, "\n"))
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&o.Origins, "origin", false, "tell where each value comes from")
	cmd.Flags().StringVar(&format, "format", "yaml", "yaml or json")
	return cmd
}

func show(ctx context.Context, b Build, f configFlags, o conf.ShowOptions, only []string) ([]byte, error) {
	tree, _, err := load(ctx, b, f)
	if err != nil {
		return nil, err
	}
	core := len(coreSections())
	var specs []conf.Spec
	var on []string
	for i, spec := range sections(b) {
		if i >= core && !tree.Has(spec.Key()) {
			continue
		}
		on = append(on, spec.Key())
		if len(only) == 0 || slices.Contains(only, spec.Key()) {
			specs = append(specs, spec)
		}
	}
	for _, name := range only {
		if !slices.Contains(on, name) {
			return nil, fmt.Errorf("%s; a module is on when its section stands in the configuration", settings.Unknown("section", name, on))
		}
	}
	return tree.Show(o, specs...)
}

func explainCommand(b Build) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [KEY]",
		Short: "Say what a setting is: type, unit, default and its source",
		Long: `Say what a setting is: type, unit, default, and where the default comes from. Of a
group it lists what stands below; without KEY, the sections. Keys of worker.yaml
begin with "worker."`,
		Example: `  tqserver config explain
  tqserver config explain http
  tqserver config explain http.idle_timeout
  tqserver config explain worker.php.pool.max_workers`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := describe(b)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				for _, name := range d.order {
					fmt.Fprintf(cmd.OutOrStdout(), "%-10s %s\n", name, d.pages[name].Intro)
				}
				return nil
			}
			return d.explain(cmd.OutOrStdout(), args[0])
		},
	}
}

func (d *described) explain(w io.Writer, key string) error {
	section, rest, _ := strings.Cut(key, ".")
	page := d.pages[section]
	text, ok := conf.Explain(key, page.Fields)
	if !ok {
		return errors.New(d.unknown(key))
	}
	fmt.Fprint(w, text)
	group := page.Fields[0].Path == key
	for _, f := range page.Fields {
		group = group || f.Path == key && strings.HasSuffix(f.Type, "group")
	}
	if group {
		return nil
	}
	if section == workerPage {
		fmt.Fprintf(w, "  in       config/worker.yaml of the worker: %s\n", inYAML(rest))
		return nil
	}
	fmt.Fprintf(w, "  in       tqserver.yaml: %s\n", inYAML(key))
	if !strings.ContainsAny(key, `["`) {
		fmt.Fprintf(w, "           TQSERVER_%s=…\n           --set %s=…\n", strings.ToUpper(strings.ReplaceAll(key, ".", "__")), key)
	}
	return nil
}

// inYAML writes a.b as `a: {b: …}`.
func inYAML(key string) string {
	key, _, _ = strings.Cut(key, "[")
	parts := strings.Split(key, ".")
	return strings.Join(parts, ": {") + ": …" + strings.Repeat("}", len(parts)-1)
}

// unknown says which settings there are at the first level that is unknown,
// and which elsewhere end as the key does.
func (d *described) unknown(key string) string {
	parent, known := "", d.order
	var elsewhere []string
	for _, name := range d.order {
		for _, f := range d.pages[name].Fields {
			if !strings.HasPrefix(key, f.Path+".") || len(f.Path) < len(parent) {
				continue
			}
			parent, known = f.Path, nil
			for _, g := range d.pages[name].Fields {
				if rest, ok := strings.CutPrefix(g.Path, parent+"."); ok && !strings.Contains(rest, ".") {
					known = append(known, rest)
				}
			}
		}
	}
	rest := key
	if _, below, ok := strings.Cut(key, "."); ok && parent != "" {
		rest = below // of worker.pool, worker is right
	}
	for _, name := range d.order {
		for _, f := range d.pages[name].Fields {
			if strings.HasSuffix(f.Path, "."+rest) {
				elsewhere = append(elsewhere, f.Path)
			}
		}
	}
	word, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(key, parent), "."), ".")
	message := settings.Unknown("key", word, known)
	if parent != "" {
		message = parent + ": " + message
	}
	if len(elsewhere) > 0 {
		message += "; elsewhere there is " + strings.Join(elsewhere, ", ")
	}
	return message
}

func referenceCommand(b Build) *cobra.Command {
	return &cobra.Command{
		Use:   "reference DIR",
		Short: "Write the reference pages and JSON Schemas of all settings",
		Long: `Write, below DIR, docs/reference/*.md (a page per section, and one for worker.yaml),
config/schema.json and config/worker.schema.json. An editor that knows the YAML
language server completes and checks a file that begins with
  # yaml-language-server: $schema=schema.json`,
		Example: "  tqserver config reference .",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := Reference(b)
			if err != nil {
				return err
			}
			return write(files, args[0])
		},
	}
}
