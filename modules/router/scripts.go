package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/docroot"
)

// linksHold is how long what links lead to is taken for known.
const linksHold = time.Second

// scripts finds the worker whose document root holds a script, by a few look-ups
// whatever the number of workers.
type scripts struct {
	all    []*api.Worker
	linked []*api.Worker // behind symlinks, whose real paths count as well
	roots  roots         // as configured
	// outer are roots below which a link or its target lies: what they hold may be
	// another worker's.
	outer   map[string]bool
	real    atomic.Pointer[links]
	looking sync.Mutex
}

// roots are workers by their document roots.
type roots struct {
	workers map[string]*api.Worker
	longest int // length of the longest root
}

// links are the roots that links led to at a moment.
type links struct {
	roots
	seen time.Time
}

func newScripts() *scripts {
	return &scripts{roots: newRoots(), outer: map[string]bool{}}
}

func newRoots() roots { return roots{workers: map[string]*api.Worker{}} }

func (r *roots) add(root string, w *api.Worker) {
	if r.workers[root] == nil { // of several with one root the first, as ever
		r.workers[root] = w
	}
	r.longest = max(r.longest, len(root))
}

// find returns the worker with the longest root above name.
func (r *roots) find(name string) (root string, w *api.Worker) {
	for at := range above(name, r.longest) {
		if w := r.workers[at]; w != nil && len(at) < len(name) {
			return at, w
		}
	}
	return "", nil
}

func (s *scripts) add(w *api.Worker) {
	s.all = append(s.all, w)
	s.roots.add(w.ScriptRoot, w)
	if w.RealRoot != nil {
		s.linked = append(s.linked, w)
	}
}

// complete is called when all have been added.
func (s *scripts) complete() {
	if len(s.linked) == 0 {
		return
	}
	s.look()
	inside := func(name string) {
		for name != "" {
			root, w := s.roots.find(name)
			if w != nil {
				s.outer[root] = true
			}
			name = root
		}
	}
	for _, w := range s.linked {
		inside(w.ScriptRoot)
	}
	for root := range s.real.Load().workers {
		inside(root)
	}
}

// look reads where all links lead.
func (s *scripts) look() *links {
	now := &links{roots: newRoots(), seen: time.Now()}
	for _, w := range s.linked {
		if root, err := w.RealRoot(); err == nil {
			now.add(root, w)
		}
	}
	s.real.Store(now)
	return now
}

// find returns the worker whose document root, as configured or as it is now,
// holds the script; of several the one with the longest root.
func (s *scripts) find(filename string) *api.Worker {
	name, ok := docroot.ScriptPath(filename)
	if !ok {
		return nil
	}
	root, w := s.roots.find(name)
	if w != nil && !s.outer[root] || len(s.linked) == 0 {
		return w
	}
	real := s.real.Load()
	if time.Since(real.seen) > linksHold && s.looking.TryLock() {
		real = s.look()
		s.looking.Unlock()
	}
	at, behind := real.find(name)
	if behind != nil {
		if now, err := behind.RealRoot(); err != nil || now != at { // a deployment has just switched it
			at, behind = s.look().find(name)
		}
	} else if w == nil {
		at, behind = s.look().find(name) // perhaps of a deployment just now
	}
	if behind != nil && len(at) > len(root) {
		return behind
	}
	return w
}
