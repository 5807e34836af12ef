package router

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
)

// anyHost stands for the workers that name no host.
const anyHost = ""

// table finds the worker of a request. It never changes after newTable.
type table struct {
	byHost  map[string][]*api.Worker // longest path first
	byName  map[string]*api.Worker
	scripts []*api.Worker // those that have a document root
}

// newTable reports every pair of workers that have one name, or one route.
func newTable(workers api.Workers) (*table, error) {
	t := &table{byHost: map[string][]*api.Worker{}, byName: map[string]*api.Worker{}}
	var errs []error
	for i := range workers {
		w := &workers[i]
		if _, ok := t.byName[w.Name]; ok {
			errs = append(errs, fmt.Errorf("two workers are named %s", w.Name))
		}
		t.byName[w.Name] = w
		if w.Path == "" {
			continue // only its own addresses lead to it
		}
		if w.HoldsScript != nil {
			t.scripts = append(t.scripts, w)
		}
		hosts := w.Hosts
		if len(hosts) == 0 {
			hosts = []string{anyHost}
		}
		for _, host := range hosts {
			host = strings.ToLower(host)
			for _, other := range t.byHost[host] {
				if other.Path == w.Path {
					errs = append(errs, fmt.Errorf("%sworkers %s and %s both have the route %s%s; give one of them another path, or hosts%s",
						place(w), other.Name, w.Name, host, w.Path, elsewhere(other)))
				}
			}
			t.byHost[host] = append(t.byHost[host], w)
		}
	}
	for _, list := range t.byHost {
		slices.SortFunc(list, func(a, b *api.Worker) int { return len(b.Path) - len(a.Path) })
	}
	return t, errors.Join(errs...)
}

// place is where the worker's route was written, as the beginning of a message.
func place(w *api.Worker) string {
	if w.Where == nil {
		return ""
	}
	return w.Where("path") + ": "
}

func elsewhere(w *api.Worker) string {
	if w.Where == nil {
		return ""
	}
	return " (the other is at " + w.Where("path") + ")"
}

// byScript returns the worker whose document root holds the script; of
// several the one with the longest root.
func (t *table) byScript(filename string) *api.Worker {
	var best *api.Worker
	longest := -1
	for _, w := range t.scripts {
		if n, ok := w.HoldsScript(filename); ok && n > longest {
			best, longest = w, n
		}
	}
	return best
}

// byRoute returns the worker with the longest path prefix among those that
// name the host, else among those that name none.
func (t *table) byRoute(r *http.Request, path string) *api.Worker {
	if len(t.byHost) > 1 || t.byHost[anyHost] == nil {
		if w := longest(t.byHost[hostOnly(r.Host)], path); w != nil {
			return w
		}
	}
	return longest(t.byHost[anyHost], path)
}

func longest(workers []*api.Worker, path string) *api.Worker {
	for _, w := range workers {
		if below(path, w.Path) {
			return w
		}
	}
	return nil
}

// below says whether path lies at or below prefix, by whole segments.
func below(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// hostOnly is the host of a Host header in lower case: no port, no final dot.
func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
