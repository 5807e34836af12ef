package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.uber.org/dig"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/module"
)

// stopReserve is what modules get beyond the drain to end their processes.
const stopReserve = 10 * time.Second

// longLived outlives a generation: log, sockets, plugin processes.
type longLived struct {
	log     *slog.Logger
	listen  api.Listen
	claim   api.Claim
	plugins api.Plugins
	runtime api.Runtime
	failed  api.Failed
}

// generation is everything built from one version of the configuration.
type generation struct {
	app    *fx.App
	parts  parts
	log    *slog.Logger
	config serverConfig
}

// parts is what modules contribute: a set, since fx gives no order.
type parts struct {
	fx.In
	Backends []api.Service `group:"backends"`
	Fronts   []api.Service `group:"fronts"`
	Drains   []api.Drain   `group:"drains"`
	Checks   []api.Check   `group:"checks"`
}

// newGeneration builds every part; nothing runs before start.
func newGeneration(tree *conf.Tree, on []module.Descriptor, config serverConfig, l longLived) (*generation, error) {
	g := &generation{log: l.log, config: config}
	options := []fx.Option{
		fx.Supply(tree, l.log, l.runtime),
		fx.Provide(
			func() api.Listen { return l.listen },
			func() api.Claim { return l.claim },
			func() api.Plugins { return l.plugins },
			func() api.Failed { return l.failed },
		),
		fx.RecoverFromPanics(),
		fx.WithLogger(func() fxevent.Logger {
			events := &fxevent.SlogLogger{Logger: l.log}
			events.UseLogLevel(slog.LevelDebug)
			events.UseErrorLevel(slog.LevelDebug)
			return events
		}),
		fx.Invoke(func(p parts) { g.parts = p }),
	}
	for _, d := range on {
		options = append(options, d.Options)
	}
	g.app = fx.New(options...)
	if err := g.app.Err(); err != nil {
		// fx's own frame speaks of constructors, not of the user's configuration.
		return nil, dig.RootCause(err)
	}
	if len(g.parts.Fronts) == 0 {
		return nil, errors.New("nothing to serve: neither `http:` nor `fastcgi:` stands in the configuration")
	}
	return g, nil
}

// check asks every module that can to check what it would use; deep starts
// what must be asked itself.
func (g *generation) check(ctx context.Context, deep bool) error {
	errs := make([]error, 0, len(g.parts.Checks))
	for _, check := range g.parts.Checks {
		errs = append(errs, check(ctx, deep))
	}
	return errors.Join(errs...)
}

// start checks what costs little, then brings up the workers, then the fronts. What half succeeded is undone.
func (g *generation) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.config.StartTimeout)
	defer cancel()
	if g.check(ctx, false) != nil {
		return g.check(ctx, true) // it cannot start, so everything is told
	}
	err := g.app.Start(ctx)
	for _, service := range slices.Concat(g.parts.Backends, g.parts.Fronts) {
		if err == nil {
			// Not a hook of fx, which returns at ctx's end while the hook goes on.
			err = service.Start(ctx)
		}
	}
	if err == nil {
		return nil
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopReserve)
	defer cancel()
	return errors.Join(err, g.stop(stopping))
}

// stop lets all fronts drain at once, so that none takes new requests while
// another waits for its last; then the workers end. ctx bounds the drain; it
// may be called after a failed start.
func (g *generation) stop(ctx context.Context) error {
	draining, cancel := context.WithTimeout(ctx, g.config.DrainTimeout)
	defer cancel()
	err := errors.Join(all(draining, stops(g.parts.Fronts)), all(draining, g.parts.Drains))
	// The workers' processes must end even when the drain used up its time.
	ending, cancel := context.WithTimeout(ctx, stopReserve)
	defer cancel()
	return errors.Join(err, all(ending, stops(g.parts.Backends)), g.app.Stop(ending))
}

func stops(services []api.Service) []api.Drain {
	list := make([]api.Drain, 0, len(services))
	for _, s := range services {
		list = append(list, s.Stop)
	}
	return list
}

// all drains at once and joins the errors in order.
func all(ctx context.Context, drains []api.Drain) error {
	errs := make([]error, len(drains))
	var running sync.WaitGroup
	for i, drain := range drains {
		running.Go(func() { errs[i] = drain(ctx) })
	}
	running.Wait()
	return errors.Join(errs...)
}
