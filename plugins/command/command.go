package command

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Version of the plugin, as Describe tells it.
const Version = "1"

// plugin implements sdk.Plugin.
type plugin struct {
	log      *slog.Logger
	released chan []string

	mu       sync.Mutex
	stopping chan struct{} // closed by the first Stop
	stopCtx  context.Context
	done     chan struct{} // closed when Run has returned; nil while it was not called
}

// New returns the plugin that runs workers of type command. What the program
// prints goes to log.
func New(log *slog.Logger) sdk.Plugin {
	return &plugin{log: log, released: make(chan []string, releasesQueued), stopping: make(chan struct{})}
}

// releasesQueued bounds the releases not dealt with; the supervisor takes each
// at once.
const releasesQueued = 64

// Describe names the plugin and its settings.
func (p *plugin) Describe() sdk.Description {
	schema, err := settings.Schema(defaultSettings())
	if err != nil {
		panic(err) // a mistake in Settings, which a test finds
	}
	return sdk.Description{
		Name:           "command",
		Version:        Version,
		Summary:        "Runs a program that serves HTTP.",
		SettingsSchema: schema,
		Features:       []string{sdk.FeatureLimits},
	}
}

// Check returns every problem of the worker's settings.
func (p *plugin) Check(_ context.Context, w sdk.Worker) []sdk.Problem {
	_, problems := prepare(w)
	return problems
}

// Run keeps the program running until ctx ends or Stop is called.
func (p *plugin) Run(ctx context.Context, w sdk.Worker, report func(sdk.State)) error {
	p.mu.Lock()
	if p.done != nil {
		p.mu.Unlock()
		return errors.New("the plugin runs already")
	}
	done := make(chan struct{})
	p.done = done
	p.mu.Unlock()
	defer close(done)

	program, problems := prepare(w)
	if len(problems) > 0 {
		err := problemError(problems)
		report(sdk.State{Kind: sdk.Failed, Reason: err.Error()})
		return err
	}
	return newSupervisor(p, program, w, report).run(ctx)
}

// Release has Run end what served the endpoints.
func (p *plugin) Release(endpointIDs []string) {
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case p.released <- endpointIDs:
	case <-done:
	}
}

// Stop lets the processes end by themselves until ctx ends, kills them then,
// and returns when Run has returned, or at ctx's end.
func (p *plugin) Stop(ctx context.Context) {
	p.mu.Lock()
	if p.stopCtx == nil {
		p.stopCtx = ctx
		close(p.stopping)
	}
	done := p.done
	p.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// bound returns what bounds the end of everything: Stop's context, or run,
// which has ended then, when Run's own ended without a Stop.
func (p *plugin) bound(run context.Context) context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopCtx != nil {
		return p.stopCtx
	}
	return run
}

// problemError makes one error of problems.
func problemError(problems []sdk.Problem) error {
	errs := make([]string, len(problems))
	for i, p := range problems {
		errs[i] = strings.TrimPrefix(p.Path+": "+p.Message, ": ")
	}
	return errors.New(strings.Join(errs, "; "))
}
