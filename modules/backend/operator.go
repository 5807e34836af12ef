package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/fpmstatus"
	"github.com/mevdschee/tqserver/core/gobuild"
)

// Names implements api.Operator.
func (b *Backend) Names() []string {
	names := make([]string, 0, len(b.workers))
	for _, h := range b.workers {
		names = append(names, h.name)
	}
	return names
}

// Status implements api.Operator.
func (b *Backend) Status(ctx context.Context, worker string, full bool) (api.WorkerStatus, error) {
	h, err := b.find(worker)
	if err != nil {
		return api.WorkerStatus{}, err
	}
	return b.status(ctx, h, full), nil
}

func (b *Backend) status(ctx context.Context, h *hosted, full bool) api.WorkerStatus {
	if h.site == nil {
		return api.WorkerStatus{
			Worker: h.name, Type: h.definition.spec.Type, Manager: h.limits.Manager, State: api.WorkerStarting, Outdated: h.outdated,
			MaxWorkers: h.limits.MaxWorkers, QueueLength: h.limits.Queue.Length,
		}
	}
	s := h.pool.status()
	s.Type, s.Outdated = h.definition.spec.Type, h.outdated
	if !full {
		s.Processes = nil
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, inspectWait)
	defer cancel()
	switch err := h.pool.inspect(ctx, &s); {
	case errors.Is(err, errors.ErrUnsupported):
		s.ProcessesUnread = "its plugin tells nothing about them"
	case err != nil:
		s.ProcessesUnread = err.Error()
	}
	return s
}

// Restart implements api.Operator.
func (b *Backend) Restart(ctx context.Context, worker string) error {
	h, err := b.find(worker)
	if err != nil {
		return err
	}
	if h.site == nil {
		return fmt.Errorf("worker %s is just being started", worker)
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, gobuild.Most+wakeWait)
		defer cancel()
	}
	return h.site.restart(ctx)
}

func (b *Backend) find(worker string) (*hosted, error) {
	for _, h := range b.workers {
		if h.name == worker {
			return h, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", api.ErrNoWorker, worker)
}

// Plan implements api.Planner.
func (b *Backend) Plan() []api.Change {
	before := map[string]*hosted{}
	for _, h := range b.sites.current() {
		before[h.name] = h
	}
	changes := make([]api.Change, 0, len(b.workers))
	for _, h := range b.workers {
		change := api.Change{Kind: api.ChangeStarted, What: "worker " + h.name}
		switch old := before[h.name]; {
		case old == nil:
		case h.outdated != "":
			change.Kind, change.Why = api.ChangeKept, "as it was: its worker.yaml of now is not taken over"
		case old.key == h.key:
			change.Kind = api.ChangeKept
		default:
			change.Kind, change.Why = api.ChangeReplaced, "its settings have changed; new processes start beside the old ones"
		}
		delete(before, h.name)
		changes = append(changes, change)
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		changes = append(changes, api.Change{Kind: api.ChangeStopped, What: "worker " + name, Why: "its folder is gone"})
	}
	return changes
}

// fpmFull says whether the status page is to show processes.
func fpmFull(r *http.Request) bool { return fpmstatus.Full(r) }
