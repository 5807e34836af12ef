package router

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// used reports what is wrong with the use of middlewares. A worker whose worker.yaml
// names one that is not there is not among the workers, the backend has told of it;
// but one that goes on in an older version may want a middleware that is gone, and
// must not serve without.
func (rt *Router) used(names []string, where api.Where) error {
	if where == nil {
		where = func(path string) string { return path }
	}
	var errs []error
	for _, name := range rt.middlewares.Twice() {
		errs = append(errs, fmt.Errorf("two modules have a middleware that is named %s; take one of them out", name))
	}
	for _, p := range rt.middlewares.Problems(names) {
		errs = append(errs, fmt.Errorf("%s: %s", where("router."+p.Path), p.Message))
	}
	named := slices.Clone(names)
	for _, w := range rt.workers {
		for i, name := range w.Middleware {
			if slices.Contains(names, name) {
				errs = append(errs, fmt.Errorf("%s: every request passes %s already, by router.middleware; name it here or there",
					placeOf(&w, settings.Index("middleware", i)), name))
			}
		}
		for _, p := range rt.middlewares.Problems(w.Middleware) {
			errs = append(errs, fmt.Errorf("%s: %s", placeOf(&w, p.Path), p.Message))
		}
		named = append(named, w.Middleware...)
	}
	for _, m := range rt.middlewares {
		if !slices.Contains(named, m.Name) {
			rt.log.Warn("a middleware is on, but named neither in router.middleware nor in a worker.yaml, so it does nothing", "middleware", m.Name)
		}
	}
	return errors.Join(errs...)
}

// placeOf is where a worker's setting was written.
func placeOf(w *api.Worker, path string) string {
	if w.Where == nil {
		return "worker " + w.Name + ": " + path
	}
	return w.Where(path)
}

// wrap puts a worker's middlewares before it, and notes its name.
func (rt *Router) wrap(w *api.Worker) http.Handler {
	next := rt.middlewares.Handler(w.Middleware, w.Handler)
	name := w.Name
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if notes := api.NotesFrom(r.Context()); notes != nil {
			notes.Worker = name
		}
		next.ServeHTTP(w, r)
	})
}

// wrapped is a Router behind the middlewares of router.middleware.
type wrapped struct {
	http.Handler
	rt *Router
}

// ForWorker implements api.Router.
func (w *wrapped) ForWorker(name string) (http.Handler, error) {
	h, err := w.rt.ForWorker(name)
	if err != nil {
		return nil, err
	}
	return w.rt.middlewares.Handler(w.rt.names, h), nil
}

// Serving is what fronts send requests to: the router itself when no middleware
// stands before it.
func (rt *Router) Serving() api.Router {
	if len(rt.names) == 0 {
		return rt
	}
	return &wrapped{rt.middlewares.Handler(rt.names, rt), rt}
}
