package pluginhost

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
)

const (
	// checkerIdle is for how long a plugin process that only checks settings
	// waits for more: workers of one type are checked one after the other.
	checkerIdle = time.Second
	// checksAtOnce bounds what one such process is asked at the same time.
	checksAtOnce = 4
)

// checkers are the plugin processes that check settings for workers which do
// not run: a thousand workers at rest need one process, not a thousand.
type checkers struct {
	mu   sync.Mutex
	open map[string]*checker // by what is started, and as whom
	gone sync.WaitGroup      // of those being ended
}

// checker is one such process.
type checker struct {
	launch sync.Once
	inst   *instance
	err    error // of the launch
	slots  chan struct{}
	users  int // guarded by checkers.mu
	idle   *time.Timer
}

// Check implements api.Plugins.
func (h *Host) Check(ctx context.Context, spec api.PluginSpec) ([]sdk.Problem, error) {
	key := strings.Join(append([]string{spec.User, spec.Group}, spec.Command...), "\x00")
	c := h.checkers.use(key)
	defer h.checkers.leave(h, key, c) //nolint:contextcheck // it may outlive the one who asked
	bare := spec
	bare.Limits, bare.Cgroup = process.Limits{}, api.CgroupLimits{} // it runs no application
	c.launch.Do(func() { c.inst, c.err = h.launch(ctx, bare, "") })
	if c.err != nil {
		h.checkers.forget(key, c)
		return nil, c.err
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	problems, err := c.inst.check(ctx, spec)
	if err != nil {
		h.checkers.forget(key, c)
	}
	return problems, err
}

func (s *checkers) use(key string) *checker {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open[key]
	if c == nil {
		if s.open == nil {
			s.open = map[string]*checker{}
		}
		c = &checker{slots: make(chan struct{}, checksAtOnce)}
		s.open[key] = c
	}
	c.users++
	if c.idle != nil {
		c.idle.Stop()
	}
	return c
}

// leave ends the process when nobody uses it for a while, or at once when it
// was forgotten.
func (s *checkers) leave(h *Host, key string, c *checker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.users--; c.users > 0 {
		return
	}
	if s.open[key] != c {
		s.end(h, c)
		return
	}
	c.idle = time.AfterFunc(checkerIdle, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.users == 0 && s.open[key] == c {
			delete(s.open, key)
			s.end(h, c)
		}
	})
}

// forget keeps a process that does not answer from being asked again.
func (s *checkers) forget(key string, c *checker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[key] == c {
		delete(s.open, key)
	}
}

// end ends a process nobody uses. Callers hold mu.
func (s *checkers) end(h *Host, c *checker) {
	if c.inst == nil {
		return
	}
	s.gone.Go(func() {
		// Nothing was started that needs time to end.
		ctx, cancel := context.WithTimeout(context.Background(), h.timing.end)
		defer cancel()
		if err := c.inst.end(ctx); err != nil {
			h.log.Debug("ending a plugin that has checked settings", "error", err)
		}
	})
}

// close ends all, and waits.
func (s *checkers) close(h *Host) {
	s.mu.Lock()
	for key, c := range s.open {
		delete(s.open, key)
		if c.users == 0 { // else the last one who leaves ends it
			c.idle.Stop()
			s.end(h, c)
		}
	}
	s.mu.Unlock()
	s.gone.Wait()
}
