package docroot

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// recentFor is how long a script that was found is not looked for again:
	// half of opcache.revalidate_freq's default, for which PHP itself runs a file
	// as it was.
	recentFor = time.Second
	// recentMost bounds what is remembered; PATH_INFO makes any number of paths.
	recentMost = 1024
)

// recent remembers scripts just found, which spares three system calls a request,
// eight behind a link. A Target holds as long as the root is the same folder.
type recent[K comparable] struct {
	mu    sync.RWMutex
	found map[K]remembered
}

type remembered struct {
	target Target
	where  place
	until  time.Time
}

// place tells one folder from another, and from itself after a name in it changed.
type place struct {
	dev, ino uint64
	changed  unix.Timespec
}

// place is where a root behind a link is now, so that a switch counts at once. A
// root whose text is its real path is where it is.
func (r *Root) place() (place, bool) {
	if !r.linked {
		return place{}, true
	}
	var st unix.Stat_t
	if err := unix.Stat(r.root, &st); err != nil {
		return place{}, false
	}
	return place{st.Dev, st.Ino, st.Ctim}, true
}

func (r *recent[K]) get(key K, where place) (Target, bool) {
	r.mu.RLock()
	m, ok := r.found[key]
	r.mu.RUnlock()
	if !ok || m.where != where || time.Now().After(m.until) {
		return Target{}, false
	}
	return m.target, true
}

func (r *recent[K]) put(key K, where place, t Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.found == nil || len(r.found) >= recentMost {
		r.found = make(map[K]remembered)
	}
	r.found[key] = remembered{t, where, time.Now().Add(recentFor)}
}
