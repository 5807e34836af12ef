package docroot

import (
	"sync"
	"time"
)

const (
	// recentFor is how long a script that was found is not looked for again:
	// half of opcache.revalidate_freq's default, for which PHP itself runs a file
	// as it was.
	recentFor = time.Second
	// recentMost bounds what is remembered; PATH_INFO makes any number of paths.
	recentMost = 1024
)

// recent remembers scripts just found, which spares three system calls a request.
// It is of use only for a root whose text is its real path: a Target is text,
// then, that no switched link changes.
type recent[K comparable] struct {
	mu    sync.RWMutex
	found map[K]remembered
}

type remembered struct {
	target Target
	until  time.Time
}

func (r *recent[K]) get(key K) (Target, bool) {
	r.mu.RLock()
	m, ok := r.found[key]
	r.mu.RUnlock()
	if !ok || time.Now().After(m.until) {
		return Target{}, false
	}
	return m.target, true
}

func (r *recent[K]) put(key K, t Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.found == nil || len(r.found) >= recentMost {
		r.found = make(map[K]remembered)
	}
	r.found[key] = remembered{t, time.Now().Add(recentFor)}
}
