package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// poolPatience is how long the pool, which has deadlines of its own for every
// request, may be silent on a connection.
const poolPatience = 24 * time.Hour

// handlerPlugin runs an http.Handler in the plugin process itself.
type handlerPlugin struct {
	handler http.Handler
	log     *slog.Logger
	stop    chan context.Context
}

// HandlerPlugin returns the plugin that Serve serves, for plugins that do more
// than a handler can. log gets panics of h.
func HandlerPlugin(h http.Handler, log *slog.Logger) Plugin {
	return &handlerPlugin{handler: h, log: log, stop: make(chan context.Context, 1)}
}

// Describe implements Plugin.
func (p *handlerPlugin) Describe() Description {
	d := Description{Name: filepath.Base(os.Args[0]), Summary: "A worker written in Go."}
	if info, ok := debug.ReadBuildInfo(); ok {
		d.Version = info.Main.Version
	}
	return d
}

// Check implements Plugin: a plain handler has no settings.
func (p *handlerPlugin) Check(context.Context, Worker) []Problem { return nil }

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
	address := filepath.Join(w.RuntimeFolder, "fcgi.sock")
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", address)
	if err != nil {
		return fmt.Errorf("opening the worker's socket: %w", err)
	}
	concurrent := max(w.MaxWorkers, 1)
	server := &fastcgi.Server{
		Handler: fastcgi.HTTPHandler(recoverPanics(p.handler, p.log), fastcgi.HTTPOptions{}),
		// A connection just closed may still be counted when the pool has
		// opened the next one.
		MaxConns:    2*concurrent + 8,
		ReadTimeout: poolPatience,
		IdleTimeout: poolPatience,
		OnError: func(e fastcgi.ConnError) {
			p.log.Debug("connection of the pool", "error", e.Err)
		},
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	report(State{Kind: Ready, Endpoints: []Endpoint{
		{ID: "handler", Network: "unix", Address: address, MaxConcurrent: concurrent},
	}})

	select {
	case err = <-served:
	case <-ctx.Done():
		err = server.Close()
		<-served //nolint:errcheck // what ended it is known
	case stop := <-p.stop:
		if err = server.Shutdown(stop); err != nil { //nolint:contextcheck // how long is said by Stop
			err = errors.Join(fmt.Errorf("requests were cut off: %w", err), server.Close())
		}
		<-served //nolint:errcheck // what ended it is known
	}
	if errors.Is(err, fastcgi.ErrServerClosed) {
		return nil
	}
	return err
}
