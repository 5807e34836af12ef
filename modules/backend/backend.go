package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/docroot"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Backend is every worker of this generation.
type Backend struct {
	log     *slog.Logger
	plugins api.Plugins
	defined []definition
	workers []*hosted // of those that can run
	wrong   error     // with the others
}

// hosted is one worker with the plugin that runs it.
type hosted struct {
	*worker
	definition definition
	api        api.Worker
	running    api.Plugin
}

// Deps is what New needs of the server.
type Deps struct {
	Plugins api.Plugins
	Runtime api.Runtime
	Files   api.FileServer // nil when the static module is off
	Log     *slog.Logger
}

// New reads every worker's folder. What is wrong with any of them is reported
// by Check. Nothing runs before Start.
func New(cfg Config, d Deps) *Backend {
	definitions, err := loadFolder(cfg.Workers, d.Runtime.Executable)
	b := &Backend{log: d.Log, plugins: d.Plugins, defined: definitions, wrong: err}
	chunks := newChunks()
	for _, def := range definitions {
		if def.wrong {
			continue
		}
		w := &worker{
			name: def.spec.Worker, prefix: def.prefix(), limits: def.limits, config: cfg, spool: d.Runtime.Folder,
			software: "TQServer/" + d.Runtime.Version, chunks: chunks, log: d.Log.With("worker", def.spec.Worker),
			pool: newPool(def.spec.Worker, def.limits.Queue.Length, def.limits.Queue.Wait),
		}
		h := &hosted{definition: def, worker: w}
		h.api = api.Worker{Name: w.name, Hosts: def.settings.Hosts, Path: def.settings.Path, Listen: def.settings.FastCGI.Listen}
		if def.kind.scripts {
			root, err := docroot.New(docroot.Options{
				Root: def.spec.DocumentRoot, Index: def.settings.Index, FrontController: def.settings.FrontController,
			})
			if err != nil {
				b.wrong = errors.Join(b.wrong, conf.Err(def.document.Problems("", []settings.Problem{{Path: "document_root", Message: err.Error()}})))
				continue
			}
			h.api.HoldsScript = root.Holds
			h.api.Handler = &phpHandler{worker: w, root: root, folder: def.spec.DocumentRoot, files: d.Files}
		} else {
			h.api.Handler = &streamHandler{worker: w}
		}
		b.workers = append(b.workers, h)
	}
	return b
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
		if len(def.spec.Command) == 0 {
			return nil
		}
		problems, err := b.plugins.Check(ctx, def.spec)
		if err != nil {
			return fmt.Errorf("worker %s: %w", def.spec.Worker, err)
		}
		return def.problems(problems)
	}))
}

// Start starts all plugins at once and returns when every one is ready.
func (b *Backend) Start(ctx context.Context) error {
	return each(b.workers, func(h *hosted) error {
		running, err := b.plugins.Start(ctx, h.definition.spec, api.PluginEvents{Ready: h.pool.ready, Down: func(reason string) {
			h.log.Warn("no process serves the worker; requests wait", "reason", reason)
			h.pool.lost(reason)
		}})
		if refused, ok := errors.AsType[*api.SettingsError](err); ok {
			return h.definition.problems(refused.Problems)
		}
		if err != nil {
			return err
		}
		h.running = running
		return nil
	})
}

// Drain lets the scripts that still run finish until ctx ends.
func (b *Backend) Drain(ctx context.Context) error {
	return each(b.workers, func(h *hosted) error {
		h.upgraded.abort()
		return h.pool.stop(ctx)
	})
}

// killGrace is what a process gets whose requests have had their time.
const killGrace = 500 * time.Millisecond

// Stop ends the plugins and all their processes; those that are still busy
// have been drained for as long as they may.
func (b *Backend) Stop(ctx context.Context) error {
	return each(b.workers, func(h *hosted) error {
		if h.running == nil {
			return nil
		}
		if h.pool.idle() {
			return h.running.Stop(ctx)
		}
		short, cancel := context.WithTimeout(ctx, killGrace)
		defer cancel()
		return h.running.Stop(short)
	})
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
