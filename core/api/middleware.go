package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// Middleware stands before the workers and sees every request on its way to them.
// A module contributes one by module.Middleware; it acts where the configuration
// names it, in router.middleware or in a worker's middleware, in that order.
type Middleware struct {
	// Name is how the configuration calls it; normally the module's ID.
	Name string
	// Wrap returns a handler that does its work before or after next. It is called
	// when a generation is built, once for every place that the middleware stands in.
	//
	// A wrapped http.ResponseWriter needs an Unwrap method, by which
	// http.ResponseController finds Flush, Hijack and full duplex.
	Wrap func(next http.Handler) http.Handler
}

// Middlewares are those of all modules that are on, in no order.
type Middlewares []Middleware

// Handler wraps next by the middlewares named, the first outermost. Names that are
// not there are left out: Problems has told of them.
func (m Middlewares) Handler(names []string, next http.Handler) http.Handler {
	for _, name := range slices.Backward(names) {
		if i := m.index(name); i >= 0 {
			next = m[i].Wrap(next)
		}
	}
	return next
}

// Problems says what is wrong with a list of names, the setting "middleware".
func (m Middlewares) Problems(names []string) []settings.Problem {
	var bad []settings.Problem
	for i, name := range names {
		at := settings.Index("middleware", i)
		switch {
		case m.index(name) < 0:
			bad = append(bad, settings.Problem{Path: at, Message: m.missing(name)})
		case slices.Contains(names[:i], name):
			bad = append(bad, settings.Problem{Path: at, Message: fmt.Sprintf("%q stands in the list already; name it once", name)})
		}
	}
	return bad
}

// Twice returns the names that more than one module has given.
func (m Middlewares) Twice() []string {
	var twice []string
	names := m.names()
	for i, name := range names {
		if slices.Contains(names[:i], name) && !slices.Contains(twice, name) {
			twice = append(twice, name)
		}
	}
	return twice
}

func (m Middlewares) index(name string) int {
	return slices.IndexFunc(m, func(w Middleware) bool { return w.Name == name })
}

// names are all names, in the order of the alphabet.
func (m Middlewares) names() []string {
	names := make([]string, 0, len(m))
	for _, w := range m {
		names = append(names, w.Name)
	}
	slices.Sort(names)
	return names
}

func (m Middlewares) missing(name string) string {
	there := "there is none"
	if len(m) > 0 {
		there = "there is " + strings.Join(m.names(), ", ")
	}
	return fmt.Sprintf("no middleware is named %q; %s (a module is on when its section stands in tqserver.yaml)", name, there)
}

// Notes are what is learned of a request on its way, for a middleware that tells
// of it when the handler has returned. They are filled where there is a
// middleware.
type Notes struct {
	// Worker that served it, empty when none did.
	Worker string
	// Queued says how long it waited for one of the worker's processes; it is of
	// the last time when it had to ask twice.
	Queued time.Duration
}

// Reopen opens the files anew that a module writes logs to, after somebody has
// moved them (SIGUSR1). It is called from one goroutine at a time, while requests
// are served; when it fails, the module goes on with those it has. Modules
// contribute theirs to the group `reopens`.
type Reopen func() error
