package php

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/plugins/internal/life"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Version of the plugin, as Describe tells it.
const Version = "1"

// plugin implements sdk.Plugin, sdk.Retirer and sdk.Inspector.
type plugin struct {
	log      *slog.Logger
	life     *life.Life
	trees    forest
	programs programs
	cache    cache
	window   time.Duration // see ledger; shorter in tests

	mu       sync.Mutex
	released []string      // endpoint IDs not dealt with yet
	wake     chan struct{} // says that there are some
}

// New returns the plugin that runs workers of type php. PHP's output goes to
// log.
func New(log *slog.Logger) sdk.Plugin {
	return &plugin{log: log, window: deathWindow, wake: make(chan struct{}, 1), life: life.New()}
}

// Describe names the plugin and its settings.
func (p *plugin) Describe() sdk.Description {
	schema, err := settings.Schema(defaultSettings())
	if err != nil {
		panic(err) // a mistake in Settings, which a test finds
	}
	return sdk.Description{
		Name:           "php",
		Version:        Version,
		Summary:        "Runs PHP scripts by php-cgi.",
		SettingsSchema: schema,
		Features:       []string{sdk.FeatureLimits},
	}
}

// Check returns every problem of the worker's settings. It asks php-cgi for
// its version and its settings, and starts nothing that stays.
func (p *plugin) Check(ctx context.Context, w sdk.Worker) []sdk.Problem {
	_, problems := prepare(ctx, w, asker{&p.cache, cacheFile(w)})
	return problems
}

// Run keeps php-cgi running until ctx ends or Stop is called.
func (p *plugin) Run(ctx context.Context, w sdk.Worker, report func(sdk.State)) error {
	end, err := p.life.Begin()
	if err != nil {
		return err
	}
	defer end()

	ready, problems := prepare(ctx, w, asker{&p.cache, cacheFile(w)})
	if len(problems) > 0 {
		err := life.Error(problems)
		report(sdk.State{Kind: sdk.Failed, Reason: err.Error()})
		return err
	}
	s, err := newSupervisor(p, ready, w, report)
	if err != nil {
		report(sdk.State{Kind: sdk.Failed, Reason: err.Error()})
		return err
	}
	return s.run(ctx)
}

// Release notes the endpoints; Run ends what served them.
func (p *plugin) Release(endpointIDs []string) {
	p.mu.Lock()
	p.released = append(p.released, endpointIDs...)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // it is woken already
	}
}

// takeReleased returns what was released since the last call.
func (p *plugin) takeReleased() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := p.released
	p.released = nil
	return ids
}

// Stop lets the children finish their requests until ctx ends, kills them
// then, and returns when Run has returned, or a little after ctx's end.
func (p *plugin) Stop(ctx context.Context) { p.life.Stop(ctx) }
