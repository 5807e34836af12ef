package backend

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/mevdschee/tqserver/core/api"
)

// warmer returns what has newly lent endpoints answer the warm-up: requests that
// no client has sent, by the worker's own handler over a pool of their own.
func warmer(def definition, handler overPool, log *slog.Logger) func(context.Context, api.EndpointSet) error {
	if len(def.limits.Warmup) == 0 {
		return nil
	}
	return func(ctx context.Context, set api.EndpointSet) error {
		config := def.limits
		config.StartWorkers, config.Queue.Length, config.StatusPath, config.PingPath = 0, 1, "", ""
		p := newPool(def.name, config, log)
		set.Release = func() {} // it is the site's
		p.ready(set)
		err := warm(ctx, def, handler.over(p))
		// What still runs is ended with the processes, or goes on beside them.
		over, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
		defer cancel()
		_ = p.stop(over)
		return err
	}
}

func warm(ctx context.Context, def definition, handler http.Handler) error {
	host := "localhost"
	if len(def.settings.Hosts) > 0 {
		host = def.settings.Hosts[0]
	}
	for _, path := range def.limits.Warmup {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+path, nil)
		if err != nil {
			return fmt.Errorf("warm-up of %s: %w", path, err)
		}
		r.RemoteAddr, r.RequestURI = "127.0.0.1:0", path
		r.Header.Set("User-Agent", "TQServer warm-up")
		if status := answerOf(handler, r); status >= http.StatusInternalServerError || status == 0 {
			if err := context.Cause(ctx); err != nil {
				return fmt.Errorf("warm-up of %s: %w", path, err)
			}
			return fmt.Errorf("warm-up of %s: the status is %d; the log says more", path, status)
		}
	}
	return nil
}

// answerOf is the status of an answer that nobody reads; 0 when it broke off.
func answerOf(handler http.Handler, r *http.Request) (status int) {
	w := &discarded{header: http.Header{}}
	defer func() {
		if recover() != nil { // http.ErrAbortHandler: it did not come to its end
			status = 0
		}
	}()
	handler.ServeHTTP(w, r)
	return w.status
}

// discarded is a ResponseWriter that keeps the status.
type discarded struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (d *discarded) Header() http.Header { return d.header }

// Write implements http.ResponseWriter.
func (d *discarded) Write(p []byte) (int, error) {
	d.WriteHeader(http.StatusOK)
	return len(p), nil
}

// WriteHeader implements http.ResponseWriter.
func (d *discarded) WriteHeader(status int) {
	if d.status == 0 && status >= http.StatusOK {
		d.status = status
	}
}

// Flush implements http.Flusher.
func (d *discarded) Flush() {}
