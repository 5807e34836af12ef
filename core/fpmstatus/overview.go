package fpmstatus

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// Overview writes a table of workers for a terminal, a line each, and the
// reasons of those that do not serve as they should below it.
func Overview(w io.Writer, workers []api.WorkerStatus) error {
	return overview(w, workers, time.Now())
}

func overview(w io.Writer, workers []api.WorkerStatus, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WORKER\tTYPE\tSTATE\tACTIVE\tIDLE\tQUEUED\tREQUESTS\tSLOW\t502\t503\t504\tUP")
	for i := range workers {
		s := &workers[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%d/%d\t%d\t%d/%d\t%d\t%d\t%d\t%d\t%d\t%s\n", line(s.Worker), line(s.Type), line(string(s.State)),
			s.Active, s.MaxWorkers, s.Idle, s.Queued, s.QueueLength, s.Accepted, s.Slow,
			s.Crashed+s.Failed, s.Refused+s.Expired, s.TimedOut, Age(now.Sub(s.Started)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range workers {
		if s := &workers[i]; s.Reason != "" {
			if _, err := fmt.Fprintf(w, "\n%s is %s: %s\n", line(s.Worker), line(string(s.State)), line(s.Reason)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Age is a length of time as people say it: 42s, 17m, 5h12m, 3d4h.
func Age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
