package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// errNoStart says that the processes of a worker at rest did not start.
var errNoStart = errors.New("the worker's processes do not start")

const (
	// killGrace is what a process gets whose requests have had their time.
	killGrace = 500 * time.Millisecond
	// wakeWait bounds the start of a worker at rest, and that of a restart whose
	// caller sets no bound.
	wakeWait = 30 * time.Second
	// The pause after a start that failed, in which requests fail at once.
	wakePause, wakePauseMost = 100 * time.Millisecond, 10 * time.Second
)

// site is a worker's pool and the processes that serve it. Generations whose
// configuration of the worker is the same share it.
//
//	new ──start──► serving ◄──wake── at rest      restart: serving ──► serving, by another crew
//	 └──start of ondemand──► at rest ◄──sleep──┘   stop: from anywhere, for good
type site struct {
	name    string
	def     definition
	plugins api.Plugins
	pool    *pool
	log     *slog.Logger
	// development says that sources are watched, and mistakes in them shown.
	development bool
	// warm has a crew's processes answer the warm-up; set before start.
	warm func(context.Context, api.EndpointSet) error

	life    context.Context //nolint:containedctx // the site's own, ended by stop
	halt    context.CancelFunc
	turn    chan struct{} // holds a token while start, restart, wake or sleep is at work
	leaving sync.WaitGroup
	serving atomic.Pointer[crew] // nil at rest
	// trouble is why the program of now does not run; only in development.
	trouble atomic.Pointer[trouble]

	// Of who has the turn.
	crew     *crew // nil at rest
	failures int   // of wake, in a row
	failedAt time.Time
}

func newSite(def definition, d Deps, log *slog.Logger) *site {
	s := &site{name: def.name, def: def, plugins: d.Plugins, log: log, development: d.Runtime.Development, turn: make(chan struct{}, 1)}
	s.pool = newPool(s.name, def.limits, log)
	if def.limits.Manager == managerOndemand {
		s.pool.wake, s.pool.sleep = s.wake, s.sleep
	}
	s.life, s.halt = context.WithCancel(context.Background())
	return s
}

// start brings up the first processes; those of an ondemand worker are only
// checked. careful makes a warm-up that fails an error: something serves already
// in its place.
func (s *site) start(ctx context.Context, careful bool) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.done()
	if s.develops() {
		s.leaving.Go(s.watch)
	}
	if s.def.limits.Manager == managerOndemand {
		if err := s.check(ctx); err != nil && !s.inTrouble(err) {
			return err
		}
		s.pool.asleep()
		return nil
	}
	c, err := s.launch(ctx)
	if s.inTrouble(err) {
		s.pool.lost(err.Error())
		return nil // it is shown, until the source has changed
	}
	if err != nil {
		return err
	}
	if err := s.warmUp(ctx, c); err != nil {
		if careful {
			return errors.Join(err, s.undo(ctx, c))
		}
		s.log.Warn("the warm-up failed; the worker serves all the same, since nothing else does", "error", err)
	}
	s.crew = c
	c.serve()
	return nil
}

// restart replaces the processes: new ones start beside the old, answer the
// warm-up, take over; the old ones finish what they run.
func (s *site) restart(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.done()
	if s.crew == nil && s.pool.wake != nil {
		err := s.check(ctx) // at rest: the next request starts new ones anyway
		s.inTrouble(err)
		return err
	}
	began := time.Now()
	c, err := s.launch(ctx)
	s.inTrouble(err)
	if err != nil && s.crew == nil {
		return fmt.Errorf("worker %s: %w", s.name, err)
	}
	if err != nil {
		return fmt.Errorf("worker %s: the new processes do not start, the old ones serve on: %w", s.name, err)
	}
	if err := s.warmUp(ctx, c); err != nil && s.crew != nil {
		return errors.Join(fmt.Errorf("worker %s: the old processes serve on: %w", s.name, err), s.undo(ctx, c))
	}
	old := s.crew
	s.crew = c
	if old == nil { // in development, after trouble
		c.serve()
		s.log.Info("the worker serves", "after", time.Since(began).Round(time.Millisecond))
		return nil
	}
	old.leave()
	c.serve()
	s.pool.restarted()
	s.log.Info("new processes have taken over", "after", time.Since(began).Round(time.Millisecond))
	s.dismiss(old)
	return nil
}

// wake starts the processes of a worker at rest, for the requests that wait.
func (s *site) wake() {
	taking, cancel := context.WithTimeout(s.life, wakeWait)
	defer cancel()
	if s.take(taking) != nil {
		return // the site stops, and has failed the requests
	}
	defer s.done()
	if s.crew != nil {
		return
	}
	if pause := min(wakePause<<min(s.failures, 10), wakePauseMost); s.failures > 0 && time.Since(s.failedAt) < pause {
		s.pool.failed(fmt.Errorf("%w: they failed just now, see the log", errNoStart))
		return
	}
	began := time.Now()
	err := s.def.refresh(s.life, s.log) // which has a bound of its own
	ctx, cancel := context.WithTimeout(s.life, wakeWait)
	defer cancel()
	var c *crew
	if err == nil {
		c, err = s.launch(ctx)
	}
	s.inTrouble(err)
	if err == nil {
		if warm := s.warmUp(ctx, c); warm != nil {
			s.log.Warn("the warm-up failed; the worker serves all the same, since nothing else does", "error", warm)
		}
		s.crew, s.failures = c, 0
		c.serve()
		s.log.Info("the worker woke up", "after", time.Since(began).Round(time.Millisecond))
		return
	}
	s.failures++
	s.failedAt = time.Now()
	s.log.Error("the worker at rest cannot be started", "error", err)
	s.pool.failed(fmt.Errorf("%w: %w", errNoStart, err))
}

// sleep ends the processes of a worker that nobody needs.
func (s *site) sleep() {
	select {
	case s.turn <- struct{}{}:
	default:
		return // whoever has the turn has a reason
	}
	defer s.done()
	if s.crew == nil || s.life.Err() != nil || !s.pool.rest() {
		return
	}
	c := s.crew
	s.crew = nil
	c.leave()
	s.log.Debug("the worker is at rest")
	s.dismiss(c)
}

// stop ends everything; requests have been drained for as long as they may.
func (s *site) stop(ctx context.Context) error {
	s.halt()
	// What has the turn ends soon: its context has.
	if err := s.take(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	defer s.done()
	var err error
	if c := s.crew; c != nil {
		s.crew = nil
		c.leave()
		if !s.pool.empty() {
			short, cancel := context.WithTimeout(ctx, killGrace)
			defer cancel()
			ctx = short
		}
		err = c.plugin.Stop(ctx)
	}
	s.leaving.Wait() // each has a bound, or ends with the site's life
	return err
}

// launch starts a plugin that does not serve yet.
func (s *site) launch(ctx context.Context) (*crew, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	if err := s.def.refresh(ctx, s.log); err != nil {
		return nil, err
	}
	c := &crew{site: s, change: make(chan struct{}, 1)}
	plugin, err := s.plugins.Start(ctx, s.def.spec, api.PluginEvents{Ready: c.ready, Down: c.down, Degraded: c.degraded})
	if err != nil {
		c.leave()
		if refused, ok := errors.AsType[*api.SettingsError](err); ok {
			return nil, s.def.refused(refused.Problems)
		}
		return nil, err
	}
	c.plugin = plugin
	return c, nil
}

// check has the plugin check the settings.
func (s *site) check(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	if err := s.def.refresh(ctx, s.log); err != nil {
		return err
	}
	problems, err := s.plugins.Check(ctx, s.def.spec)
	if err != nil {
		return fmt.Errorf("worker %s: %w", s.name, err)
	}
	return s.def.refused(problems)
}

func (s *site) warmUp(ctx context.Context, c *crew) error {
	set, ok := c.set()
	if !ok || s.warm == nil {
		return nil
	}
	return s.warm(ctx, set)
}

// undo ends a crew that never served.
func (s *site) undo(ctx context.Context, c *crew) error {
	c.leave()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
	defer cancel()
	return c.plugin.Stop(ending)
}

// dismiss ends a crew in the background when its last request has.
func (s *site) dismiss(c *crew) {
	s.leaving.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, s.def.limits.RequestTimeout+s.def.limits.AbortTimeout+retireWait)
		defer cancel()
		if err := c.end(ctx); err != nil && s.life.Err() == nil {
			s.log.Warn("old processes did not end in order", "error", err)
		}
	})
}

func (s *site) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("worker %s: another start or restart of it is under way: %w", s.name, context.Cause(ctx))
	}
}

func (s *site) done() { <-s.turn }
