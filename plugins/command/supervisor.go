package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mevdschee/tqserver/plugins/internal/life"
	"github.com/mevdschee/tqserver/sdk"
)

const (
	// stopGrace bounds a stop whose context has no end of its own.
	stopGrace = time.Hour
	// loopAfter is after how many failures in a row it is a crash loop.
	loopAfter = 3
)

// supervisor keeps the processes in service. A keeper for each place starts one
// process after the other and tells what becomes of them; run decides what is
// lent, and reports it.
//
//	starts ──up──► lent ──down, when it has ended──────────────────► ends
//	                └─ill──► lent still ──up of another──► released ──┘
type supervisor struct {
	p       *plugin
	log     *slog.Logger
	program program
	worker  sdk.Worker
	report  func(sdk.State)
	events  chan event
	number  atomic.Int64 // of the last process
	ends    sync.WaitGroup

	// Of run.
	lent    []*child          // by place; nil where none serves
	leaving map[string]*child // not lent any more, until the pool has released them
	loops   map[int]string    // why a place is in a crash loop
	ready   bool              // something was lent already

	life context.Context //nolint:containedctx // of what is being ended; over when all is to be killed
	kill context.CancelFunc

	mu    sync.Mutex
	alive map[int]*child // all that have not ended, by process group
}

// event is what a keeper tells.
type event struct {
	slot  int
	child *child // nil when it did not get so far
	up    bool   // it serves from now on
	why   string // it does not
	loop  string // its place is in a crash loop
}

func newSupervisor(p *plugin, program program, w sdk.Worker, report func(sdk.State)) *supervisor {
	s := &supervisor{
		p: p, log: p.log.With("worker", w.Name), program: program, worker: w, report: report, events: make(chan event),
		lent: make([]*child, program.Processes), leaving: map[string]*child{}, loops: map[int]string{}, alive: map[int]*child{},
	}
	s.life, s.kill = context.WithCancel(context.Background())
	return s
}

// run keeps all places taken until it is stopped. Only at the first start a
// failure is for good: later ones are tried again for ever, with growing waits.
func (s *supervisor) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var keepers sync.WaitGroup
	keepers.Go(func() {
		select {
		case <-s.p.life.Stopping():
			cancel()
		case <-ctx.Done():
		}
	})
	for slot := range s.lent {
		keepers.Go(func() { s.keep(ctx, slot) })
	}
	err := s.follow(ctx)
	cancel()
	keepers.Wait()
	s.endAll(ctx)
	return err
}

// follow deals with what happens; it returns when it is stopped, or the first
// start has failed.
func (s *supervisor) follow(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case ids := <-s.p.released:
			for _, id := range ids {
				if c := s.leaving[id]; c != nil {
					delete(s.leaving, id)
					s.end(ctx, c, s.program.StopTimeout)
				}
			}
		case e := <-s.events:
			if s.loops[e.slot] == "" && e.loop != "" {
				s.log.Error("the worker's program is in a crash loop; it is started again and again, ever more slowly", "reason", e.why)
			}
			s.loops[e.slot] = e.loop
			if e.up {
				s.takeOver(e.slot, e.child)
				continue
			}
			if !s.ready {
				s.tell(sdk.Failed, e.why)
				return errors.New(e.why)
			}
			s.lose(ctx, e)
		}
	}
}

// takeOver lends a process in its place.
func (s *supervisor) takeOver(slot int, c *child) {
	if old := s.lent[slot]; old != nil {
		s.leaving[old.id] = old
	}
	s.lent[slot] = c
	if !s.ready && slices.Contains(s.lent, nil) {
		return // the first time all at once
	}
	s.ready = true
	s.tellReady()
}

// lose deals with a process that has ended or is ill, or could not be started.
func (s *supervisor) lose(ctx context.Context, e event) {
	s.log.Error("the worker's program is started again", "reason", e.why)
	if c := e.child; c != nil && c.proc.Ended() {
		if s.lent[e.slot] == c {
			s.lent[e.slot] = nil
			if slices.ContainsFunc(s.lent, func(c *child) bool { return c != nil }) {
				s.tellReady()
			}
		}
		s.end(ctx, c, s.program.StopTimeout) // what it has started
	}
	s.tell(sdk.Degraded, cmp.Or(e.loop, e.why))
}

// tellReady lends all that serve. When a place is empty, or in a crash loop, all
// is not well.
func (s *supervisor) tellReady() {
	var endpoints []sdk.Endpoint
	for _, c := range s.lent {
		if c != nil {
			endpoints = append(endpoints, c.endpoint())
		}
	}
	s.tell(sdk.Ready, "", endpoints...)
	for slot := range s.lent {
		if why := s.loops[slot]; why != "" {
			s.tell(sdk.Degraded, why)
			return
		}
	}
}

// tell reports a state with every group there is.
func (s *supervisor) tell(kind sdk.StateKind, reason string, endpoints ...sdk.Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	groups := make([]int, 0, len(s.alive))
	for id := range s.alive {
		groups = append(groups, id)
	}
	slices.Sort(groups)
	s.report(sdk.State{Kind: kind, Reason: reason, Endpoints: endpoints, ProcessGroups: groups})
}

// keep starts one process after the other for a place, until ctx ends.
func (s *supervisor) keep(ctx context.Context, slot int) {
	say := func(e event) bool {
		e.slot = slot
		select {
		case s.events <- e:
			return true
		case <-ctx.Done():
			return false
		}
	}
	loop := ""
	for failures := 0; pause(ctx, life.Backoff(failures)); {
		c, err := s.launch(ctx)
		if ctx.Err() != nil {
			return
		}
		why := ""
		if err != nil {
			c, why = nil, "the program cannot be started: "+err.Error()
		} else {
			if !say(event{child: c, up: true, loop: loop}) {
				return
			}
			if why = c.watch(ctx); ctx.Err() != nil {
				return
			}
			if time.Since(c.served) >= life.Settled {
				failures, loop = 0, ""
			}
		}
		failures++
		if failures >= loopAfter {
			loop = fmt.Sprintf("it failed %d times in a row, the last time because: %s", failures, why)
		}
		if !say(event{child: c, why: why, loop: loop}) {
			return
		}
	}
}

// pause waits; false means stop.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// launch starts a process and waits until it is ready.
func (s *supervisor) launch(ctx context.Context) (*child, error) {
	c := &child{
		id: childID(int(s.number.Add(1))), log: s.log, program: &s.program, limits: s.worker.Limits, out: output{log: s.log},
		share: (max(s.worker.MaxWorkers, 1) + s.program.Processes - 1) / s.program.Processes,
	}
	if err := c.start(ctx, s.worker.RuntimeFolder); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.alive[c.group.ID] = c
	s.mu.Unlock()
	s.tell(sdk.Starting, "the program starts")
	if err := c.ready(ctx); err != nil {
		s.end(ctx, c, s.program.StopTimeout)
		return nil, err
	}
	s.log.Info("the program answers", "pid", c.proc.PID(), "address", c.address, "after", time.Since(c.started).Round(time.Millisecond))
	return c, nil
}

// end ends a process in the background, which may take as long as grace; endAll
// waits for it.
func (s *supervisor) end(ctx context.Context, c *child, grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ends {
		return
	}
	c.ends = true
	s.ends.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		defer context.AfterFunc(s.life, cancel)() //nolint:contextcheck // of the end of all
		err := c.end(ctx)
		s.mu.Lock()
		delete(s.alive, c.group.ID)
		s.mu.Unlock()
		if err != nil {
			s.log.Warn("the program did not end in order", "pid", c.proc.PID(), "error", err)
		}
	})
}

// endAll ends every process and waits; what is left at the plugin's bound is killed.
func (s *supervisor) endAll(ctx context.Context) {
	defer context.AfterFunc(s.p.life.Bound(ctx), s.kill)()
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.alive))
	s.mu.Unlock()
	for _, c := range all {
		s.end(ctx, c, stopGrace)
	}
	s.ends.Wait()
	s.kill()
}
