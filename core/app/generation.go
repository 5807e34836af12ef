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
	"github.com/mevdschee/tqserver/core/front"
)

// stopReserve is what modules get beyond the drain to end their processes.
const stopReserve = 10 * time.Second

// longLived outlives a generation: log, sockets, plugin processes.
type longLived struct {
	log      *slog.Logger
	listen   api.Listen
	plugins  api.Plugins
	runtime  api.Runtime
	kept     *api.Kept
	draining api.Draining
	failed   api.Failed
}

// generation is everything built from one version of the configuration.
type generation struct {
	number   int
	app      *fx.App
	parts    parts
	log      *slog.Logger
	config   serverConfig
	requests *front.Requests
	files    []string // of the configuration, see conf.Tree.Files
	content  []byte   // of all files it was made from, while they are watched
	claims   *claims
	remote   remote
}

// parts is what modules contribute: a set, since fx gives no order.
type parts struct {
	fx.In
	Backends []api.Service `group:"backends"`
	Fronts   []api.Service `group:"fronts"`
	Outlooks []api.Service `group:"outlooks"`
	Drains   []api.Drain   `group:"drains"`
	Checks   []api.Check   `group:"checks"`
	Reports  []api.Report  `group:"reports"`
	Reopens  []api.Reopen  `group:"reopens"`
	Operator api.Operator  `optional:"true"`
}

// services are all of them, those that run the workers first.
func (p *parts) services() []api.Service { return slices.Concat(p.Backends, p.doors()) }

// doors are those that are asked from outside.
func (p *parts) doors() []api.Service { return slices.Concat(p.Fronts, p.Outlooks) }

// newGeneration builds every part; nothing runs before start. Number 1 is the
// first of this run, whose start nothing else serves beside.
func newGeneration(number int, c settled, l longLived, refused *api.Refused) (*generation, error) {
	g := &generation{number: number, log: l.log, config: c.server, requests: front.NewRequests(), claims: newClaims(c.tree.Where), files: c.tree.Files(), remote: c.remote}
	options := []fx.Option{
		fx.Supply(c.tree, c.types, c.remote.definitions, l.log, l.runtime, l.kept, g.requests, api.Reloading(number > 1), refused),
		fx.Provide(
			func() api.Listen { return g.claims.placed(l.listen) },
			func() api.Claim { return g.claims.claim },
			func() api.Where { return c.tree.Where },
			func() api.Plugins { return l.plugins },
			func() api.Draining { return l.draining },
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
	for _, d := range c.on {
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

// tryOut is check with a deadline.
func (g *generation) tryOut(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.config.StartTimeout)
	defer cancel()
	return g.check(ctx, true)
}

// plan says what start would change.
func (g *generation) plan() []api.Change {
	var changes []api.Change
	for _, s := range g.parts.services() {
		if planner, ok := s.(api.Planner); ok {
			changes = append(changes, planner.Plan()...)
		}
	}
	return changes
}

// report says which parts go on in an older version.
func (g *generation) report() error {
	var problems error
	for _, report := range g.parts.Reports {
		problems = errors.Join(problems, report())
	}
	return problems
}

// start checks what costs little, then brings up the workers, then binds the
// fronts' addresses. What half succeeded stays until undo. Nothing is served before
// serve.
func (g *generation) start(ctx context.Context) error {
	if g.check(ctx, false) != nil {
		return g.tryOut(ctx) // it cannot start, so everything is told
	}
	for _, service := range g.parts.services() {
		if p, ok := service.(api.Preparer); ok {
			if err := p.Prepare(ctx); err != nil {
				return err
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, g.config.StartTimeout)
	defer cancel()
	err := g.app.Start(ctx)
	for _, service := range g.parts.services() {
		if err == nil {
			// Not a hook of fx, which returns at ctx's end while the hook goes on.
			err = service.Start(ctx)
		}
	}
	return err
}

// undo ends what a start that failed has left.
func (g *generation) undo(ctx context.Context) error {
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopReserve)
	defer cancel()
	return g.stop(stopping)
}

// serve makes this the generation that every next request goes to. It cannot
// fail.
func (g *generation) serve() {
	for _, f := range g.parts.doors() {
		if f, ok := f.(api.Front); ok {
			f.Switch()
		}
	}
}

// retire ends the generation when its last request has, after another one's
// serve. What did not end within drain_timeout is cut off, and all of it when
// ctx ends.
func (g *generation) retire(ctx context.Context) error {
	draining, cancel := context.WithTimeout(ctx, g.config.DrainTimeout)
	defer cancel()
	var plain, fronts []api.Drain
	for _, s := range g.parts.doors() {
		if f, ok := s.(api.Front); ok {
			fronts = append(fronts, f.Retire)
		} else {
			plain = append(plain, s.Stop)
		}
	}
	// Connections that wait for their next request do not hold the workers.
	retired := make(chan error, 1)
	go func() { retired <- all(draining, fronts) }()
	err := all(draining, plain)
	g.requests.Close()
	select {
	case <-g.requests.Done():
	case <-draining.Done():
		g.log.Warn("requests of an older configuration did not finish within server.drain_timeout",
			"generation", g.number, "requests", g.requests.Running())
	}
	err = errors.Join(err, g.end(ctx, draining))
	return errors.Join(err, <-retired)
}

// stop lets all fronts drain at once, so that none takes new requests while
// another waits for its last; then the workers end. ctx bounds the drain; it
// may be called after a failed start.
func (g *generation) stop(ctx context.Context) error {
	draining, cancel := context.WithTimeout(ctx, g.config.DrainTimeout)
	defer cancel()
	return errors.Join(g.closeFronts(draining), g.end(ctx, draining))
}

func (g *generation) closeFronts(ctx context.Context) error { return all(ctx, stops(g.parts.Fronts)) }

// end lets the workers finish what they run, and ends them.
func (g *generation) end(ctx, draining context.Context) error {
	err := all(draining, g.parts.Drains)
	// The workers' processes must end even when the drain used up its time.
	ending, cancel := context.WithTimeout(ctx, stopReserve)
	defer cancel()
	return errors.Join(err, all(ending, stops(g.parts.Backends)), all(ending, stops(g.parts.Outlooks)), g.app.Stop(ending))
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
