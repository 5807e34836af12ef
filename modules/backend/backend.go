package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/docroot"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Backend is every worker of this generation.
type Backend struct {
	deps     Deps
	config   Config
	sites    *sites
	defined  []definition
	workers  []*hosted // of those that can run
	wrong    error     // with the others
	reported error     // with those that go on in an older version, or stay away

	mu       sync.Mutex
	released bool
	ending   []*site // of this generation alone, when it was the last to use them
}

// hosted is one worker of this generation. Its pool and what serves it may be
// older than the generation.
type hosted struct {
	*worker
	definition definition
	key        string
	outdated   string // why it is older than its folder
	api        api.Worker
	site       *site // nil before Start
}

// overPool is a handler that can serve by another pool than its worker's.
type overPool interface {
	http.Handler
	over(p *pool) http.Handler
}

// Deps is what New needs of the server.
type Deps struct {
	Plugins     api.Plugins
	Runtime     api.Runtime
	Types       api.PluginTypes
	Definitions api.Definitions
	Kept        *api.Kept
	Reloading   api.Reloading
	Refused     *api.Refused
	Files       api.FileServer // nil when the static module is off
	Where       api.Where      // of tqserver.yaml; nil when nobody knows
	Middlewares api.Middlewares
	Log         *slog.Logger
}

// New reads every worker's folder. What is wrong with any of them is reported
// by Check; on a reload by Report, and the worker goes on as it is. Nothing runs
// before Start.
func New(cfg Config, d Deps) *Backend {
	if d.Kept == nil {
		d.Kept = &api.Kept{} // nothing came before, nothing comes after
	}
	if d.Refused == nil {
		d.Refused = &api.Refused{}
	}
	b := &Backend{deps: d, config: cfg, sites: api.KeptValue(d.Kept, "backend", func() *sites { return &sites{} })}
	definitions, err := loadFolder(cfg.Workers, d.Definitions, allKinds(d.Runtime.Executable, d.Types))
	for i := range definitions {
		definitions[i].checkMiddleware(d.Middlewares)
	}
	if err != nil {
		where := "backend.workers"
		if d.Where != nil {
			where = d.Where(where)
		}
		b.wrong = fmt.Errorf("%s: %w", where, err)
	}
	chunks := newChunks()
	for _, def := range definitions {
		err, outdated := conf.Err(def.problems), ""
		if err == nil && bool(d.Reloading) {
			err = b.refusal(&def)
		}
		if err != nil && bool(d.Reloading) {
			b.reported = errors.Join(b.reported, err)
			before := b.sites.serving(def.name)
			if before == nil {
				continue
			}
			def, outdated, err = before.definition, err.Error(), nil
		}
		if err == nil {
			err = b.host(def, outdated, chunks)
		}
		b.wrong = errors.Join(b.wrong, err)
		b.defined = append(b.defined, def)
	}
	return b
}

// refusal is why the processes of the definition did not start, earlier in this
// reload.
func (b *Backend) refusal(def *definition) error {
	key, err := def.key()
	if err != nil {
		return err
	}
	return b.deps.Refused.Why(key)
}

// host makes the handler of a worker that can run.
func (b *Backend) host(def definition, outdated string, chunks *sync.Pool) error {
	w := &worker{
		name: def.name, prefix: def.prefix(), limits: def.limits, config: b.config, spool: b.deps.Runtime.Folder,
		software: "TQServer/" + b.deps.Runtime.Version, chunks: chunks, noted: len(b.deps.Middlewares) > 0, log: b.deps.Log.With("worker", def.name),
	}
	key, err := def.key()
	if err != nil {
		return err
	}
	h := &hosted{definition: def, key: key, worker: w, outdated: outdated}
	w.status = func(r *http.Request) api.WorkerStatus { return b.status(r.Context(), h, fpmFull(r)) }
	h.api = api.Worker{
		Name: w.name, Hosts: def.settings.Hosts, Path: def.settings.Path, Middleware: def.settings.Middleware,
		Listen: def.settings.FastCGI.Listen, Access: def.settings.FastCGI.access(), Where: def.document.Where,
	}
	if b.deps.Runtime.Development && def.program != nil {
		w.trouble = func() *trouble {
			if h.site == nil {
				return nil
			}
			return h.site.trouble.Load()
		}
	}
	h.api.Handler = &streamHandler{worker: w}
	if def.kind.scripts {
		root, err := docroot.New(docroot.Options{
			Root: def.spec.DocumentRoot, Index: def.settings.Index, FrontController: def.settings.FrontController,
		})
		if err != nil {
			return conf.Err(def.document.Problems("", []settings.Problem{{Path: "document_root", Message: err.Error()}}))
		}
		h.api.ScriptRoot = root.Path()
		if root.Linked() {
			h.api.RealRoot = root.RealPath
		}
		h.api.Handler = &phpHandler{worker: w, root: root, folder: def.spec.DocumentRoot, files: b.deps.Files}
	}
	b.workers = append(b.workers, h)
	return nil
}

// Workers lists them for router and fronts.
func (b *Backend) Workers() api.Workers {
	list := make(api.Workers, 0, len(b.workers))
	for _, h := range b.workers {
		list = append(list, h.api)
	}
	return list
}

// Check reports what is wrong with the workers' folders; deep asks every
// worker's plugin to check its settings as well.
func (b *Backend) Check(ctx context.Context, deep bool) error {
	if !deep {
		return b.wrong
	}
	return errors.Join(b.wrong, each(b.defined, func(def definition) error {
		noOwner := func(p conf.Problem) bool { return p.Path == "user" || p.Path == "group" }
		if len(def.spec.Command) == 0 || slices.ContainsFunc(def.problems, noOwner) {
			return nil // it cannot be started
		}
		key, err := def.key()
		if err != nil || b.deps.Refused.Why(key) != nil { // told already
			return err
		}
		return b.tolerate(ctx, key, b.ask(ctx, def))
	}))
}

// ask has the worker's plugin check the settings. A program that would have to be
// built is built elsewhere, so that a check changes nothing.
func (b *Backend) ask(ctx context.Context, def definition) error {
	spec := def.spec
	if def.program != nil && def.program.Stale() != "" {
		folder, err := os.MkdirTemp(b.deps.Runtime.Folder, "build")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(folder) }()
		binary, err := def.program.Build(ctx, folder)
		if err != nil {
			return fmt.Errorf("worker %s: %w", def.name, err)
		}
		if err := os.Chmod(folder, 0o711); err != nil {
			return err
		}
		spec.Command = append([]string{binary}, spec.Command[1:]...)
	}
	problems, err := b.deps.Plugins.Check(ctx, spec)
	if err != nil {
		return fmt.Errorf("worker %s: %w", def.name, err)
	}
	return def.refused(problems)
}

// Prepare implements api.Preparer: it builds the programs of the workers that
// nothing serves yet, one after the other, since the go command uses all
// processors. What does not build is an error of the start, which in development
// shows it.
func (b *Backend) Prepare(ctx context.Context) error {
	var errs []error
	for _, h := range b.workers {
		if h.definition.program == nil || b.sites.inUse(h.key) || h.outdated != "" {
			continue
		}
		err := h.definition.refresh(ctx, h.log)
		if err != nil && b.deps.Runtime.Development {
			continue // the start tries again, and tells
		}
		errs = append(errs, b.tolerate(ctx, h.key, err))
	}
	return errors.Join(errs...)
}

// tolerate makes of what is wrong with one worker, in a reload that has time left, a
// reason to build the generation again: the worker goes on as it is.
func (b *Backend) tolerate(ctx context.Context, key string, err error) error {
	if err == nil || !bool(b.deps.Reloading) || ctx.Err() != nil {
		return err
	}
	return b.deps.Refused.Refuse(key, err)
}

// Report says which workers go on in an older version, and why.
func (b *Backend) Report() error { return b.reported }

// Watch implements api.Watcher.
func (b *Backend) Watch() []string {
	return []string{filepath.Join(b.config.Workers, "*", "config", "worker.yaml")}
}

// Start starts all plugins that do not run yet, at once, and returns when every
// one is ready.
func (b *Backend) Start(ctx context.Context) error {
	err := each(b.workers, func(h *hosted) error {
		site, fresh, replaces := b.sites.acquire(h.definition, h.key, b.deps, h.log)
		h.site, h.pool = site, site.pool
		if !fresh {
			return nil
		}
		if handler, ok := h.api.Handler.(overPool); ok {
			site.warm = warmer(h.definition, handler, h.log)
		}
		return b.tolerate(ctx, h.key, site.start(ctx, replaces))
	})
	if err == nil {
		b.sites.enter(b)
	}
	return err
}

// Drain gives up what no other generation uses: its workers' scripts that still
// run may finish until ctx ends.
func (b *Backend) Drain(ctx context.Context) error {
	b.mu.Lock()
	if !b.released {
		b.released = true
		b.sites.leave(b)
		for _, h := range b.workers {
			if h.site == nil {
				continue
			}
			if b.sites.release(h.key) {
				b.ending = append(b.ending, h.site)
			}
		}
	}
	ending := b.ending
	b.mu.Unlock()
	return each(ending, func(s *site) error { return s.pool.stop(ctx) })
}

// Stop ends the plugins and all their processes that Drain gave up; those that
// are still busy have been drained for as long as they may.
func (b *Backend) Stop(ctx context.Context) error {
	over, cancel := context.WithCancel(ctx)
	cancel()
	_ = b.Drain(over) // done, unless the start failed: then nothing runs
	b.mu.Lock()
	ending := b.ending
	b.mu.Unlock()
	return each(ending, func(s *site) error { return s.stop(ctx) })
}

// each runs do for all at once and joins their errors in order.
func each[T any](list []T, do func(T) error) error {
	errs := make([]error, len(list))
	var running sync.WaitGroup
	for i, one := range list {
		running.Go(func() { errs[i] = do(one) })
	}
	running.Wait()
	return errors.Join(errs...)
}
