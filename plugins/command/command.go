package command

import (
	"context"
	"log/slog"

	"github.com/mevdschee/tqserver/plugins/internal/life"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Version of the plugin, as Describe tells it.
const Version = "1"

// plugin implements sdk.Plugin.
type plugin struct {
	log      *slog.Logger
	life     *life.Life
	released chan []string
}

// New returns the plugin that runs workers of type command. What the program
// prints goes to log.
func New(log *slog.Logger) sdk.Plugin {
	return &plugin{log: log, released: make(chan []string, releasesQueued), life: life.New()}
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
	end, err := p.life.Begin()
	if err != nil {
		return err
	}
	defer end()

	program, problems := prepare(w)
	if len(problems) > 0 {
		err := life.Error(problems)
		report(sdk.State{Kind: sdk.Failed, Reason: err.Error()})
		return err
	}
	return newSupervisor(p, program, w, report).run(ctx)
}

// Release has Run end what served the endpoints.
func (p *plugin) Release(endpointIDs []string) {
	done := p.life.Done()
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
func (p *plugin) Stop(ctx context.Context) { p.life.Stop(ctx) }
