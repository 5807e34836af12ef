package router

import (
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
)

// anyHost stands for the workers that name no host.
const anyHost = ""

// table finds the worker of a request. It never changes after newTable.
type table struct {
	byHost  map[string]*paths
	byName  map[string]*api.Worker
	scripts *scripts
}

// paths are the workers of a host, found by a few look-ups whatever their number.
type paths struct {
	workers map[string]*api.Worker // by path without a trailing slash, so "" is /
	longest int                    // length of the longest path
}

// newTable reports every pair of workers that have one name, or one route.
func newTable(workers api.Workers) (*table, error) {
	t := &table{byHost: map[string]*paths{}, byName: map[string]*api.Worker{}, scripts: newScripts()}
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
		if w.ScriptRoot != "" {
			t.scripts.add(w)
		}
		hosts := w.Hosts
		if len(hosts) == 0 {
			hosts = []string{anyHost}
		}
		for _, host := range hosts {
			host = strings.ToLower(host)
			if t.byHost[host] == nil {
				t.byHost[host] = &paths{workers: map[string]*api.Worker{}}
			}
			if other := t.byHost[host].add(w); other != nil {
				errs = append(errs, fmt.Errorf("%sworkers %s and %s both have the route %s%s; give one of them another path, or hosts%s",
					place(w), other.Name, w.Name, host, w.Path, elsewhere(other)))
			}
		}
	}
	t.scripts.complete()
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

// byRoute returns the worker with the longest path prefix among those that
// name the host, else among those that name none.
func (t *table) byRoute(r *http.Request, path string) *api.Worker {
	if len(t.byHost) > 1 || t.byHost[anyHost] == nil {
		if w := t.byHost[hostOnly(r.Host)].find(path); w != nil {
			return w
		}
	}
	return t.byHost[anyHost].find(path)
}

// add returns the worker that has the path already.
func (p *paths) add(w *api.Worker) (other *api.Worker) {
	key := strings.TrimSuffix(w.Path, "/")
	if other := p.workers[key]; other != nil {
		return other
	}
	p.workers[key], p.longest = w, max(p.longest, len(key))
	return nil
}

// find returns the worker with the longest path at or above path, by whole segments.
func (p *paths) find(path string) *api.Worker {
	if p == nil {
		return nil
	}
	for at := range above(path, p.longest) {
		if w := p.workers[at]; w != nil {
			return w
		}
	}
	return nil
}

// above yields path and what is above it, by whole segments, the longest first and
// "" last: /a/b, /a, "". What is longer than longest is left out, so that a request
// cannot make it many.
func above(path string, longest int) iter.Seq[string] {
	return func(yield func(string) bool) {
		if len(path) > longest {
			path = path[:longest+1]
			path = path[:strings.LastIndexByte(path, '/')+1]
			path = strings.TrimSuffix(path, "/")
		}
		for path != "" {
			if !yield(path) {
				return
			}
			path = path[:max(0, strings.LastIndexByte(path, '/'))]
		}
		yield("")
	}
}

// hostOnly is the host of a Host header in lower case: no port, no final dot.
func hostOnly(host string) string {
	if strings.IndexByte(host, ':') >= 0 {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
