package pluginhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/process"
)

// ErrKilled says that something did not end in its time and was cut off.
var ErrKilled = process.ErrKilled

var errClosed = errors.New("the plugin host is closed")

// reapWait bounds how long Reap waits for killed processes.
const reapWait = 5 * time.Second

// Options of a Host.
type Options struct {
	// RuntimeFolder holds the private folder of this host, absolute. It is made
	// if missing.
	RuntimeFolder string
	// Executable is started with GuardianArg as the guardian; empty means none,
	// for tests.
	Executable string
	// Log gets the host's own lines and those of the plugins.
	Log *slog.Logger
}

// Host implements api.Plugins.
type Host struct {
	log      *slog.Logger
	folder   *folder
	guard    *guard
	timing   timing
	checkers checkers
	cgroups  *cgroups

	// Lock order: a plugin's mu before an instance's before this one.
	mu      sync.Mutex
	groups  map[process.Group]struct{} // alive or about to end, of all plugins
	cells   map[string]struct{}        // control groups of plugin processes, by folder
	plugins map[*plugin]struct{}
	closed  bool
}

// timing is every bound of supervision.
type timing struct {
	start       time.Duration // from exec to the handshake
	call        time.Duration // Describe, Check, Release
	ready       time.Duration // from Run to the first Ready of a restarted plugin
	stop        time.Duration // when Stop's context has no deadline
	end         time.Duration // from SIGTERM to SIGKILL, for what serves nobody
	ping        time.Duration // between two health checks, and bound of each
	pingsMissed int           // in a row, before the plugin counts as hung
	backoff     time.Duration // first pause before a restart, doubling
	backoffMost time.Duration
	healthy     time.Duration // of running, after which the pause starts anew
	orphans     time.Duration // between two looks at what a dead plugin left serving
}

func defaultTiming() timing {
	return timing{
		start: 10 * time.Second, call: 10 * time.Second, ready: time.Minute, stop: 30 * time.Second, end: 2 * time.Second,
		ping: time.Second, pingsMissed: 8, // a machine that swaps may starve it for seconds
		backoff: 100 * time.Millisecond, backoffMost: 30 * time.Second, healthy: time.Minute,
		orphans: 200 * time.Millisecond,
	}
}

// New makes the host's folder, removes those of servers that died, and starts
// the guardian.
func New(o Options) (*Host, error) {
	f, err := newFolder(o.RuntimeFolder)
	if err != nil {
		return nil, fmt.Errorf("runtime folder: %w", err)
	}
	h := &Host{
		log: o.Log, folder: f, timing: defaultTiming(),
		groups: make(map[process.Group]struct{}), cells: make(map[string]struct{}), plugins: make(map[*plugin]struct{}),
		cgroups: newCgroups(o.Log),
	}
	if o.Executable != "" {
		if h.guard, err = newGuard(o.Executable, f.path, o.Log); err != nil {
			return nil, errors.Join(fmt.Errorf("guardian: %w", err), f.remove())
		}
	}
	return h, nil
}

// Folder is the host's private folder (0711), removed by Close. Paths of
// sockets in it have to stay short.
func (h *Host) Folder() string { return h.folder.path }

// Start implements api.Plugins. The first start is not tried again: what ends
// the plugin before its first Ready is the error.
func (h *Host) Start(ctx context.Context, spec api.PluginSpec, events api.PluginEvents) (api.Plugin, error) {
	p := newPlugin(h, spec, events)
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, errClosed
	}
	h.plugins[p] = struct{}{}
	h.mu.Unlock()
	if err := p.start(ctx); err != nil {
		h.forget(p)
		return nil, err
	}
	return p, nil
}

func (h *Host) forget(p *plugin) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.plugins, p)
}

// register makes g known to Reap and to the guardian.
func (h *Host) register(g process.Group) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errClosed
	}
	h.groups[g] = struct{}{}
	if h.guard != nil {
		h.guard.add(g)
	}
	return nil
}

func (h *Host) unregister(g process.Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.groups[g]; !ok {
		return
	}
	delete(h.groups, g)
	if h.guard != nil {
		h.guard.remove(g)
	}
}

// enter makes a control group for a plugin process, known to Reap and to the
// guardian; "" is none.
func (h *Host) enter(spec api.PluginSpec) string {
	cell := h.cgroups.enter(spec)
	if cell == "" {
		return ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cells[cell] = struct{}{}
	if h.guard != nil {
		h.guard.addCell(cell)
	}
	return cell
}

// leave kills what is left in a control group and removes it.
func (h *Host) leave(ctx context.Context, cell string) error {
	if err := killCgroup(ctx, cell); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.cells, cell)
	if h.guard != nil {
		h.guard.removeCell(cell)
	}
	return nil
}

// Reap kills every process known and waits for its end. Nothing can be started
// afterwards. It may be called at any time, any number of times.
func (h *Host) Reap() {
	h.mu.Lock()
	h.closed = true
	groups := make([]process.Group, 0, len(h.groups))
	for g := range h.groups {
		groups = append(groups, g)
	}
	cells := slices.Collect(maps.Keys(h.cells))
	plugins := make([]*plugin, 0, len(h.plugins))
	for p := range h.plugins {
		plugins = append(plugins, p)
	}
	h.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), reapWait) // nothing may cut the last reaper short
	defer cancel()
	for _, p := range plugins {
		p.abandon()
	}
	// The oldest first: a plugin must not see its children die, and say so.
	slices.SortFunc(groups, func(a, b process.Group) int { return cmp.Compare(a.Start, b.Start) })
	for _, g := range groups {
		_ = g.Signal(syscall.SIGKILL)
	}
	var all sync.WaitGroup
	for _, g := range groups {
		all.Go(func() {
			if err := g.Kill(ctx); err != nil {
				h.log.Error("reaping", "error", err)
				return
			}
			h.unregister(g)
		})
	}
	for _, cell := range cells {
		all.Go(func() {
			if err := h.leave(ctx, cell); err != nil {
				h.log.Error("reaping", "error", err)
			}
		})
	}
	all.Wait()
	for _, p := range plugins {
		if p.wait(ctx) {
			h.forget(p)
		} else {
			h.log.Error("a plugin's supervision did not end", "worker", p.spec.Worker)
		}
	}
}

// Close reaps, ends the guardian and removes the folder. It may be called twice.
func (h *Host) Close() error {
	h.checkers.close(h)
	h.Reap()
	if h.guard != nil {
		h.guard.close()
	}
	if err := h.folder.remove(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the runtime folder: %w", err)
	}
	return nil
}
