package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
)

// Router implements api.Router.
type Router struct {
	table       *table
	workers     api.Workers
	middlewares api.Middlewares
	names       []string // of those before all workers
	wrong       error
	log         *slog.Logger
}

var _ api.Router = (*Router)(nil)

// Deps is what New needs of the server.
type Deps struct {
	Workers     api.Workers
	Middlewares api.Middlewares
	Where       api.Where // of tqserver.yaml; nil when nobody knows
	Log         *slog.Logger
}

// New makes the table of all workers' routes. What is wrong with them, and with
// the middlewares named, is reported by Check.
func New(cfg Config, d Deps) *Router {
	rt := &Router{workers: slices.Clone(d.Workers), middlewares: d.Middlewares, names: cfg.Middleware, log: d.Log}
	wrong := rt.used(cfg.Middleware, d.Where)
	if len(rt.middlewares) > 0 {
		for i := range rt.workers {
			rt.workers[i].Handler = rt.wrap(&rt.workers[i])
		}
	}
	t, err := newTable(rt.workers)
	rt.table, rt.wrong = t, errors.Join(wrong, err)
	return rt
}

// Check reports every pair of workers with one route, and wrong names of middlewares.
func (rt *Router) Check(context.Context, bool) error { return rt.wrong }

// ServeHTTP finds the worker: by FastCGI the one whose document root holds
// SCRIPT_FILENAME, else, and always by HTTP, the one of host and path.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := api.FastCGIFrom(r.Context()); f != nil {
		if script := f.Params.Get("SCRIPT_FILENAME"); script != "" {
			if worker := rt.table.scripts.find(script); worker != nil {
				worker.Handler.ServeHTTP(w, r)
				return
			}
		}
		// The web server names no script of ours: it leaves the choice to us.
		f.ByRoute = true
	}
	if !clean(w, r) {
		return
	}
	worker := rt.table.byRoute(r, r.URL.Path)
	if worker == nil {
		rt.log.Info("no worker for this host and path; see `path` and `hosts` in the workers' worker.yaml",
			"status", http.StatusNotFound, "method", r.Method, "host", r.Host, "path", r.URL.Path, "client", r.RemoteAddr)
		http.Error(w, "404 Not Found", http.StatusNotFound)
		return
	}
	worker.Handler.ServeHTTP(w, r)
}

// ForWorker serves every request by the named worker.
func (rt *Router) ForWorker(name string) (http.Handler, error) {
	worker, ok := rt.table.byName[name]
	if !ok {
		return nil, fmt.Errorf("no worker is named %s", name)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := api.FastCGIFrom(r.Context()); f != nil && f.Params.Get("SCRIPT_FILENAME") == "" {
			f.ByRoute = true
		}
		if clean(w, r) {
			worker.Handler.ServeHTTP(w, r)
		}
	}), nil
}

// clean makes r.URL.Path the one string by which routes and files are found:
// decoded once by the front, then without empty, `.` and `..` segments. A NUL
// byte, or a path that is none, is answered with 400.
func clean(w http.ResponseWriter, r *http.Request) bool {
	p := r.URL.Path
	if p == "" || p[0] != '/' || strings.IndexByte(p, 0) >= 0 {
		http.Error(w, "400 Bad Request", http.StatusBadRequest)
		return false
	}
	if !strings.Contains(p, "//") && !strings.Contains(p, "/.") {
		return true
	}
	cleaned := path.Clean(p)
	if cleaned != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
		cleaned += "/"
	}
	r.URL.Path, r.URL.RawPath = cleaned, ""
	return true
}
