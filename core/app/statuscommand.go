package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/control"
	"github.com/mevdschee/tqserver/core/fpmstatus"
)

func statusCommand(b Build) *cobra.Command {
	var f controlFlags
	var full, asJSON bool
	cmd := &cobra.Command{
		Use:   "status [WORKER]",
		Short: "Show the workers of the running server, or one in the words of PHP-FPM's status page",
		Long: `Show a line for each worker of the running server; of one worker what PHP-FPM's status
page shows of a pool, in the same words; --full with its processes.

Exit code 1: no server answers, or it has no such worker.`,
		Example: `  tqserver status
  tqserver status blog --full
  tqserver status blog --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.call(cmd.Context(), b, func(ctx context.Context, c *control.Client) error {
				worker := ""
				if len(args) > 0 {
					worker = args[0]
				}
				workers, err := c.Status(ctx, worker, full)
				if err != nil {
					return err
				}
				w := cmd.OutOrStdout()
				if asJSON {
					return statusJSON(w, workers, full, worker != "")
				}
				if worker == "" && !full {
					return overview(ctx, w, c, workers)
				}
				for _, s := range workers {
					if err := fpmstatus.Text(w, s, full); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	f.add(cmd, 10*time.Second)
	cmd.Flags().BoolVar(&full, "full", false, "show every process")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, with the names of PHP-FPM's status page; without WORKER a list")
	return cmd
}

// overview writes the table of workers, and which are not as their folders say.
func overview(ctx context.Context, w io.Writer, c *control.Client, workers []api.WorkerStatus) error {
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	if err := fpmstatus.Overview(w, workers); err != nil || info.Problems == "" {
		return err
	}
	_, err = fmt.Fprintf(w, "\nNot taken over by the last reload (a worker goes on as it was, a new one stays away):\n%s\n", info.Problems)
	return err
}

// statusJSON writes one worker's page, or those of all as a list.
func statusJSON(w io.Writer, workers []api.WorkerStatus, full, one bool) error {
	pages := make([]json.RawMessage, 0, len(workers))
	for i := range workers {
		var page bytes.Buffer
		if err := fpmstatus.Write(&page, &workers[i], fpmstatus.FormatJSON, full, time.Now()); err != nil {
			return err
		}
		pages = append(pages, page.Bytes())
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if one && len(pages) == 1 {
		return encoder.Encode(pages[0])
	}
	return encoder.Encode(pages)
}
