package pluginhost

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/control"
	"github.com/mevdschee/tqserver/sdk/process"
)

// lease is one set of endpoints lent to the pool and not released yet.
type lease struct {
	inst      *instance
	endpoints []sdk.Endpoint
}

func (i *instance) lend(endpoints []sdk.Endpoint) *lease {
	l := &lease{inst: i, endpoints: endpoints}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.leases[l] = struct{}{}
	return l
}

// set is what the pool gets; released goes with the work of the release.
func (l *lease) set(released func(func())) api.EndpointSet {
	return api.EndpointSet{
		Endpoints: slices.Clone(l.endpoints),
		Processes: lessee{l.inst},
		Release:   sync.OnceFunc(func() { released(l.release) }),
	}
}

// outlives reports whether the endpoints still serve without their plugin:
// each has a process group of its own that is alive.
func (l *lease) outlives() bool {
	l.inst.mu.Lock()
	defer l.inst.mu.Unlock()
	for _, e := range l.endpoints {
		if !slices.ContainsFunc(e.ProcessGroups, func(id int) bool {
			g, known := l.inst.groups[id]
			return known && g.Alive()
		}) {
			return false
		}
	}
	return true
}

// release tells the plugin that the endpoints are used no more; when it has
// died, what serves them is ended here.
func (l *lease) release() {
	i := l.inst
	i.mu.Lock()
	delete(i.leases, l)
	dead := i.dead
	var ids []string
	for _, e := range l.endpoints {
		if !i.lent(e.ID) {
			ids = append(ids, e.ID)
		}
	}
	i.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), i.host.timing.call)
	defer cancel()
	if dead {
		i.endUnused(ctx)
		return
	}
	_, err := i.rpc.Release(ctx, &control.ReleaseRequest{EndpointIds: ids})
	if err != nil && status.Code(err) != codes.Unimplemented {
		i.log.Debug("releasing endpoints", "endpoints", ids, "error", err)
	}
	// It may have died meanwhile, before or after it has heard.
	i.endUnused(ctx)
}

// lent reports whether an endpoint is in a set not released yet. Callers hold mu.
func (i *instance) lent(id string) bool {
	for l := range i.leases {
		if slices.ContainsFunc(l.endpoints, func(e sdk.Endpoint) bool { return e.ID == id }) {
			return true
		}
	}
	return false
}

// adopt takes over the process groups a state names, and those of children it
// does not name. Only what the plugin itself started is believed: it must not
// make us kill strangers.
func (i *instance) adopt(st sdk.State) {
	named := slices.Clone(st.ProcessGroups)
	for _, e := range st.Endpoints {
		named = append(named, e.ProcessGroups...)
	}
	own := i.runner.process().PID()
	named = append(named, process.ChildGroups(own)...)
	i.mu.Lock()
	defer i.mu.Unlock()
	for id, g := range i.groups {
		if !slices.Contains(named, id) && !g.Alive() {
			i.host.unregister(g)
			delete(i.groups, id)
		}
	}
	for _, id := range named {
		if _, known := i.groups[id]; known || id == own {
			continue
		}
		g := process.FindGroup(id)
		if !g.Alive() {
			continue
		}
		if id == syscall.Getpgrp() || !g.Descends(own) {
			i.log.Warn("the plugin reported a process group that it did not start", "group", id)
			continue
		}
		if err := i.host.register(g); err != nil {
			_ = g.Signal(syscall.SIGKILL)
			continue
		}
		i.groups[id] = g
	}
}

// endUnused ends the process groups of a dead plugin that serve no endpoint
// still lent, and its folder when there is none. Nobody is connected to them.
func (i *instance) endUnused(ctx context.Context) {
	i.mu.Lock()
	if !i.dead {
		i.mu.Unlock()
		return
	}
	used := make(map[int]bool)
	for l := range i.leases {
		for _, e := range l.endpoints {
			for _, id := range e.ProcessGroups {
				used[id] = true
			}
		}
	}
	var unused []process.Group
	for id, g := range i.groups {
		if !used[id] {
			unused = append(unused, g)
			delete(i.groups, id)
		}
	}
	last := len(i.leases) == 0
	i.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, i.host.timing.end)
	defer cancel()
	if err := i.endGroups(ctx, unused); err != nil {
		i.log.Warn("ending what a dead plugin left", "error", err)
	}
	if last {
		i.remove(ctx)
	}
}

// endGroups ends them all at once, and forgets them: SIGTERM until ctx ends,
// then SIGKILL.
func (i *instance) endGroups(ctx context.Context, groups []process.Group) error {
	errs := make([]error, len(groups))
	var all sync.WaitGroup
	for n, g := range groups {
		all.Go(func() {
			errs[n] = g.End(ctx)
			if !g.Alive() {
				i.host.unregister(g)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// remove removes what a plugin process had that has ended with all it started:
// its control group, with whoever has left the process groups, and its folder.
func (i *instance) remove(ctx context.Context) {
	if i.cell != "" {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), i.host.timing.end)
		defer cancel()
		if err := i.host.leave(bound, i.cell); err != nil {
			i.log.Warn("ending a plugin's control group", "error", err)
		}
	}
	if err := os.RemoveAll(i.folder); err != nil {
		i.log.Warn("removing a plugin's runtime folder", "error", err)
	}
}
