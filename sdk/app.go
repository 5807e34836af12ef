package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// Option changes what Serve and ServeWith serve.
type Option func(*handlerPlugin)

// Named says what `tqserver` shows of the worker's program; without it the
// executable's name and the version the Go toolchain stamped are shown.
func Named(name, version, summary string) Option {
	return func(p *handlerPlugin) { p.about.Name, p.about.Version, p.about.Summary = name, version, summary }
}

// Metrics names the registry whose metrics appear on the server's /metrics,
// with the label worker. Without it that is prometheus.DefaultGatherer.
func Metrics(g prometheus.Gatherer) Option {
	return func(p *handlerPlugin) { p.metrics = g }
}

// ServeWith is Serve for a handler with settings. S is a struct as package
// settings describes it; defaults is what a worker.yaml that says nothing means.
// The settings stand in the worker's section (`go:`, or that of the plugin's
// name), beside what is the server's there. They are checked before anything
// starts, S's Validate included, and each mistake is told with file, line and
// path.
//
// newHandler makes the handler, before the worker takes requests; an error keeps
// it from starting, or from being replaced. ctx lasts until the last request has
// ended; WorkerOf and Log work with it. A handler that is an io.Closer is closed
// then.
func ServeWith[S any](defaults S, newHandler func(ctx context.Context, s S) (http.Handler, error), options ...Option) {
	schema, err := settings.Schema(defaults)
	if err != nil {
		fmt.Fprintf(os.Stderr, "sdk.ServeWith: %v\n", err)
		os.Exit(1) //nolint:forbidigo // the main function of a plugin, with a mistake of its author
	}
	log := Logger()
	slog.SetDefault(log)
	ServePlugin(newApp(schema, defaults, newHandler, log, options))
}

func newApp[S any](schema json.RawMessage, defaults S, newHandler func(context.Context, S) (http.Handler, error), log *slog.Logger, options []Option) *handlerPlugin {
	decode := func(raw json.RawMessage) (S, []Problem) {
		s := defaults
		var problems []Problem
		for _, p := range settings.DecodeJSON(raw, &s) {
			problems = append(problems, Problem(p))
		}
		return s, problems
	}
	p := newHandlerPlugin(log, options)
	p.about.SettingsSchema = schema
	p.check = func(raw json.RawMessage) []Problem {
		_, problems := decode(raw)
		return problems
	}
	p.make = func(ctx context.Context, raw json.RawMessage) (http.Handler, error) {
		s, problems := decode(raw)
		if len(problems) > 0 {
			return nil, fmt.Errorf("setting %s: %s", problems[0].Path, problems[0].Message)
		}
		return newHandler(ctx, s)
	}
	return p
}
