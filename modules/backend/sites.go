package backend

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/gobuild"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// sites are those in use, over all generations. Zero is ready.
type sites struct {
	mu   sync.Mutex
	used map[string]*use // by key
	live []*Backend      // that have started and not been given up, the newest last
}

// use counts the generations that use a site.
type use struct {
	site        *site
	generations int
}

// key is the same for definitions that the same processes can serve.
func (d *definition) key() (string, error) {
	b, err := json.Marshal(struct {
		Spec    api.PluginSpec
		Limits  poolSettings
		Secrets string // a changed secret needs new processes
		Program *gobuild.Program
	}{d.spec, d.limits, settings.Fingerprint(d.spec.Settings), d.program})
	if err != nil {
		return "", fmt.Errorf("worker %s: %w", d.spec.Worker, err)
	}
	return string(b), nil
}

// acquire returns the site for the definition; fresh says that it is new and has
// to be started. replaces says that another one of the same worker serves.
func (s *sites) acquire(def definition, key string, d Deps, log *slog.Logger) (_ *site, fresh, replaces bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == nil {
		s.used = map[string]*use{}
	}
	if u, ok := s.used[key]; ok {
		u.generations++
		return u.site, false, false
	}
	for _, u := range s.used {
		replaces = replaces || u.site.name == def.spec.Worker
	}
	u := &use{newSite(def, d, log), 1}
	s.used[key] = u
	return u.site, true, replaces
}

// inUse says that something serves the key already.
func (s *sites) inUse(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used[key] != nil
}

// release says that one generation less uses the site, and whether it was the
// last one: who is told so stops it.
func (s *sites) release(key string) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.used[key]
	u.generations--
	if u.generations == 0 {
		delete(s.used, key)
	}
	return u.generations == 0
}

// enter notes a generation that has started; leave, that it is given up.
func (s *sites) enter(b *Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = append(s.live, b)
}

func (s *sites) leave(b *Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = slices.DeleteFunc(s.live, func(other *Backend) bool { return other == b })
}

// current lists the workers of the generation that serves. One that failed to
// start has been given up before the next is made.
func (s *sites) current() []*hosted {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.live) == 0 {
		return nil
	}
	return s.live[len(s.live)-1].workers
}

// serving is the worker as it is served now, nil when it is not.
func (s *sites) serving(worker string) *hosted {
	for _, h := range s.current() {
		if h.name == worker {
			return h
		}
	}
	return nil
}
