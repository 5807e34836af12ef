package sdk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// poolPatience is how long the pool, which has deadlines of its own for every
// request, may be silent on a connection.
const poolPatience = 24 * time.Hour

// handlerPlugin runs an http.Handler in the plugin process itself.
type handlerPlugin struct {
	about   Description
	check   func(raw json.RawMessage) []Problem
	make    func(ctx context.Context, raw json.RawMessage) (http.Handler, error)
	metrics prometheus.Gatherer
	log     *slog.Logger
	stop    chan context.Context
}

func newHandlerPlugin(log *slog.Logger, options []Option) *handlerPlugin {
	p := &handlerPlugin{
		about: Description{Name: filepath.Base(os.Args[0]), Summary: "A worker written in Go."},
		log:   log, metrics: prometheus.DefaultGatherer, stop: make(chan context.Context, 1),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		p.about.Version = info.Main.Version
	}
	for _, o := range options {
		o(p)
	}
	return p
}

// HandlerPlugin returns the plugin that Serve serves, for plugins that do more
// than a handler can. log gets panics of h. It has no settings, and says so of
// whatever stands in the worker's section.
func HandlerPlugin(h http.Handler, log *slog.Logger, options ...Option) Plugin {
	p := newHandlerPlugin(log, options)
	p.check = func(raw json.RawMessage) []Problem {
		var none struct{}
		var problems []Problem
		for _, found := range settings.DecodeJSON(raw, &none) {
			problems = append(problems, Problem(found))
		}
		return problems
	}
	p.make = func(context.Context, json.RawMessage) (http.Handler, error) { return h, nil }
	return p
}

// Describe implements Plugin.
func (p *handlerPlugin) Describe() Description { return p.about }

// Check implements Plugin.
func (p *handlerPlugin) Check(_ context.Context, w Worker) []Problem { return p.check(w.Settings) }

// Release implements Plugin: the one endpoint lives as long as the process.
func (p *handlerPlugin) Release([]string) {}

// Stop implements Plugin.
func (p *handlerPlugin) Stop(ctx context.Context) {
	select {
	case p.stop <- ctx:
	default:
	}
}

// Run implements Plugin.
func (p *handlerPlugin) Run(ctx context.Context, w Worker, report func(State)) error {
	report(State{Kind: Starting})
	r := &running{worker: w, log: p.log}
	// Ended after the last request, not with the first word of a stop.
	life, end := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), runningKey{}, r))
	defer end()
	handler, err := p.make(life, w.Settings)
	if err != nil {
		return fmt.Errorf("making the worker's handler: %w", err)
	}
	if closer, ok := handler.(io.Closer); ok {
		defer func() {
			if err := closer.Close(); err != nil {
				p.log.Error("closing the worker's handler", "error", err)
			}
		}()
	}
	address := filepath.Join(w.RuntimeFolder, "fcgi.sock")
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", address)
	if err != nil {
		return fmt.Errorf("opening the worker's socket: %w", err)
	}
	concurrent := max(w.MaxWorkers, 1)
	server := &fastcgi.Server{
		Handler:  fastcgi.HTTPHandler(recoverPanics(handler, p.log), fastcgi.HTTPOptions{WithContext: r.withRequest}),
		Extended: true,
		// A connection just closed may still be counted when the pool has
		// opened the next one.
		Limits: fastcgi.Limits{MaxConns: 2*concurrent + 8, ReadTimeout: poolPatience, IdleTimeout: poolPatience},
		OnError: func(e fastcgi.ConnError) {
			p.log.Debug("connection of the pool", "error", e.Err)
		},
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	report(State{Kind: Ready, Endpoints: []Endpoint{
		{ID: "handler", Network: "unix", Address: address, MaxConcurrent: concurrent, Protocol: FastCGI, Trailers: true},
	}})
	if err := p.untilStopped(ctx, server, served); !errors.Is(err, fastcgi.ErrServerClosed) {
		return err
	}
	return nil
}

// untilStopped returns when nothing is served any more, and why.
func (p *handlerPlugin) untilStopped(ctx context.Context, server *fastcgi.Server, served <-chan error) error {
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		err := server.Close()
		return cmp.Or(err, <-served)
	case stop := <-p.stop:
		err := server.Shutdown(stop) //nolint:contextcheck // how long is said by Stop
		if err != nil {
			err = errors.Join(fmt.Errorf("requests were cut off: %w", err), server.Close())
		}
		return cmp.Or(err, <-served)
	}
}
