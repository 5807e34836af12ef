package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/fpmstatus"
)

// status is PHP-FPM's status page of one worker.
func (a *Admin) status(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), statusWait)
	defer cancel()
	s, err := a.deps.Operator.Status(ctx, r.PathValue("worker"), fpmstatus.Full(r))
	switch {
	case errors.Is(err, api.ErrNoWorker):
		http.Error(w, "404 Not Found: no worker has this name; /status lists them", http.StatusNotFound)
	case err != nil:
		a.deps.Log.Warn("admin: a worker's status cannot be told", "worker", r.PathValue("worker"), "error", err)
		http.Error(w, "503 Service Unavailable: the status cannot be told now; the log says why", http.StatusServiceUnavailable)
	default:
		fpmstatus.Serve(w, r, s)
	}
}

// index is the table of all workers, with ?json for programs.
func (a *Admin) index(w http.ResponseWriter, r *http.Request) {
	list := a.all(r.Context(), false)
	if f, _ := fpmstatus.Query(r.URL.RawQuery); f == fpmstatus.FormatJSON {
		workers := make([]indexEntry, len(list))
		for i := range list {
			workers[i] = entry(&list[i])
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"workers": workers})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	known := make([]api.WorkerStatus, 0, len(list))
	for i := range list {
		if list[i].Err != nil {
			list[i].State, list[i].Reason = "unknown", list[i].Err.Error()
		}
		known = append(known, list[i].WorkerStatus)
	}
	_ = fpmstatus.Overview(w, known)
	for i := range known {
		if s := &known[i]; s.Outdated != "" {
			_, _ = fmt.Fprintf(w, "\n%s goes on as it was before the last reload: %s\n", s.Worker, s.Outdated)
		}
	}
}

// indexEntry is a worker in /status?json. Numbers of requests are since the
// start of the worker's pool.
type indexEntry struct {
	Worker         string            `json:"worker"`
	Type           string            `json:"type"`
	Manager        string            `json:"manager"`
	State          api.WorkerState   `json:"state"`
	Reason         string            `json:"reason,omitempty"`
	Outdated       string            `json:"outdated,omitempty"`
	Started        int64             `json:"started"` // seconds since 1970
	MaxWorkers     int               `json:"max_workers"`
	Active         int               `json:"active"`
	Idle           int               `json:"idle"`
	Queued         int               `json:"queued"`
	QueueLength    int               `json:"queue_length"`
	Accepted       uint64            `json:"accepted"`
	Outcomes       map[string]uint64 `json:"outcomes"`
	Slow           uint64            `json:"slow"`
	Replayed       uint64            `json:"replayed"`
	LimitReached   uint64            `json:"limit_reached"`
	Restarts       uint64            `json:"restarts"`
	Retired        map[string]uint64 `json:"retired"`
	PeakMemory     int64             `json:"peak_memory"` // bytes
	QueueWaitTotal float64           `json:"queue_wait_seconds"`
	DurationTotal  float64           `json:"duration_seconds"`
}

func entry(s *snapshot) indexEntry {
	if s.Err != nil {
		return indexEntry{Worker: s.Worker, State: "unknown", Reason: s.Err.Error()}
	}
	e := indexEntry{
		Worker: s.Worker, Type: s.Type, Manager: s.Manager, State: s.State, Reason: s.Reason, Outdated: s.Outdated, Started: s.Started.Unix(),
		MaxWorkers: s.MaxWorkers, Active: s.Active, Idle: s.Idle, Queued: s.Queued, QueueLength: s.QueueLength,
		Accepted: s.Accepted, Outcomes: map[string]uint64{}, Slow: s.Slow, Replayed: s.Replayed, LimitReached: s.LimitReached,
		Restarts: s.Restarts, Retired: retired(s.Retired), PeakMemory: s.PeakMemory,
		QueueWaitTotal: s.QueueWait.Sum, DurationTotal: s.Duration.Sum,
	}
	for _, o := range outcomes(&s.PoolCounters) {
		e.Outcomes[o.Name] = o.Count
	}
	return e
}

// outcome is one of the ends that a request can come to.
type outcome struct {
	Name  string
	Count uint64
}

// outcomes add up to what was accepted, less what waits and runs.
func outcomes(c *api.PoolCounters) []outcome {
	return []outcome{
		{"done", c.Done},
		{"refused", c.Refused},
		{"expired", c.Expired},
		{"left", c.Left},
		{"aborted", c.Aborted},
		{"timed_out", c.TimedOut},
		{"crashed", c.Crashed},
		{"failed", c.Failed},
	}
}
