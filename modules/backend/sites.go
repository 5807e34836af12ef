package backend

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// sites are those in use, over all generations. Zero is ready.
type sites struct {
	mu   sync.Mutex
	used map[string]*use // by key
	last int             // number given
}

// use counts the generations that use a site.
type use struct {
	site        *site
	def         definition // the newest that the site serves
	generations int
	number      int // of the order in which they came
}

// key is the same for definitions that the same processes can serve.
func (d *definition) key() (string, error) {
	b, err := json.Marshal(struct {
		Spec    api.PluginSpec
		Limits  poolSettings
		Secrets string // a changed secret needs new processes
	}{d.spec, d.limits, settings.Fingerprint(d.spec.Settings)})
	if err != nil {
		return "", fmt.Errorf("worker %s: %w", d.spec.Worker, err)
	}
	return string(b), nil
}

// acquire returns the site for the definition; fresh says that it is new and has
// to be started. replaces says that another one of the same worker serves.
func (s *sites) acquire(def definition, key string, plugins api.Plugins, log *slog.Logger) (_ *site, fresh, replaces bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == nil {
		s.used = map[string]*use{}
	}
	if u, ok := s.used[key]; ok {
		u.generations++
		s.last++
		u.number, u.def = s.last, def
		return u.site, false, false
	}
	for _, u := range s.used {
		replaces = replaces || u.site.name == def.spec.Worker
	}
	s.last++
	u := &use{newSite(def, plugins, log), def, 1, s.last}
	s.used[key] = u
	return u.site, true, replaces
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

// serving is the definition by which a worker is served now.
func (s *sites) serving(worker string) (def definition, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := 0
	for _, u := range s.used {
		if u.site.name == worker && u.number > newest {
			newest, def, ok = u.number, u.def, true
		}
	}
	return def, ok
}

// keys are those in use, with the names of their workers.
func (s *sites) keys() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make(map[string]string, len(s.used))
	for key, u := range s.used {
		keys[key] = u.site.name
	}
	return keys
}
