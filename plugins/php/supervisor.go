package php

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mevdschee/tqserver/plugins/internal/life"
	"github.com/mevdschee/tqserver/sdk"
)

// releaseGrace is what children get to finish when their endpoint was
// released: the pool has no connection to them any more.
const releaseGrace = 5 * time.Second

// stopGrace bounds a stop whose context has no end of its own.
const stopGrace = time.Hour

// supervisor keeps one tree in service. Its fields belong to run's goroutine.
type supervisor struct {
	p       *plugin
	log     *slog.Logger
	command command
	folder  string
	report  func(sdk.State)

	number   int   // of the last tree
	current  *tree // nil between two
	starting *tree // not ready yet
	replaced replacements
	retired  map[string]*tree  // out of service, but perhaps not gone: their children serve until Release
	ending   map[string]func() // kills those of them at once that are being ended
	ended    chan string       // names of those that are gone
}

func newSupervisor(p *plugin, ready prepared, w sdk.Worker, report func(sdk.State)) (*supervisor, error) {
	var base []byte
	if ready.baseIni != "" {
		var err error
		if base, err = os.ReadFile(ready.baseIni); err != nil {
			return nil, fmt.Errorf("read php.ini: %w", err)
		}
	}
	ini := filepath.Join(w.RuntimeFolder, "php.ini")
	if err := writeIni(ini, iniContent(base, ready.roots, ready.admin)); err != nil {
		return nil, err
	}
	log := p.log.With("worker", w.Name)
	log.Info("php-cgi found", "binary", ready.binary.path, "version", ready.binary.version, "php_ini", ready.baseIni)
	return &supervisor{
		p: p, log: log, folder: w.RuntimeFolder, report: report,
		command: command{
			path: ready.binary.path, version: ready.binary.version, args: arguments(ini, ready.settings, ready.admin), env: ready.env,
			dir: w.Folder, size: max(w.MaxWorkers, 1), window: p.window, emergency: ready.emergency, limits: w.Limits,
		},
		retired: map[string]*tree{}, ending: map[string]func(){}, ended: make(chan string),
	}, nil
}

// run starts trees until it is stopped. Only the first start may fail for
// good: later ones are tried again for ever, with growing waits.
func (s *supervisor) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { // ends with ctx
		defer close(watched)
		select {
		case <-s.p.life.Stopping():
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() {
		cancel()
		<-watched
		s.endAll(ctx)
	}()

	for failures := 0; ; {
		if !s.pause(ctx, life.Backoff(failures)) {
			return nil
		}
		begun := time.Now()
		err := s.start(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && s.number == 1:
			s.tell(sdk.Failed, err.Error())
			return err
		case err != nil:
			s.log.Error("php-cgi cannot be started again", "error", err)
			s.tell(sdk.Degraded, err.Error())
		default:
			why := s.watch(ctx)
			if ctx.Err() != nil {
				return nil
			}
			s.log.Error(why + "; starting another php-cgi")
			s.tell(sdk.Degraded, why)
		}
		if failures++; time.Since(begun) > life.Settled {
			failures = 1
		}
	}
}

// start starts a tree and reports it when it is ready.
func (s *supervisor) start(ctx context.Context) error {
	for _, t := range s.retired {
		if !t.group.Alive() {
			s.end(ctx, t, 0) // nothing of it serves, so nobody needs to release it
		}
	}
	t, err := s.launch(ctx, "php-cgi starts again")
	if err != nil {
		return err
	}
	s.current = t
	s.tell(sdk.Ready, "", t.endpoint())
	return nil
}

// launch starts a tree that is to become the current one. why is what is
// reported meanwhile, unless it is the first.
func (s *supervisor) launch(ctx context.Context, why string) (*tree, error) {
	s.number++
	t, err := startTree(s.log, s.command, s.folder, fmt.Sprintf("php-%d", s.number))
	if err != nil {
		return nil, err
	}
	s.starting = t
	defer func() { s.starting = nil }()
	s.p.trees.add(t)
	if s.number == 1 {
		s.tell(sdk.Starting, "")
	} else {
		s.tell(sdk.Degraded, why)
	}
	if err := t.ready(ctx); err != nil {
		s.retired[t.name] = t
		s.end(ctx, t, 0) // what never served has nothing to finish
		return nil, err
	}
	s.log.Info("php-cgi is ready", "pid", t.proc.PID(), "children", t.serving+spare, "after", time.Since(t.started).Round(time.Millisecond))
	return t, nil
}

// watch returns when the current tree serves no more, and says why.
func (s *supervisor) watch(ctx context.Context) (why string) {
	for {
		t := s.current
		select {
		case <-ctx.Done():
			return ""
		case <-s.p.wake:
			s.release(ctx)
		case name := <-s.ended:
			s.forget(name)
		case ill := <-t.children.health:
			if ill != "" {
				s.tell(sdk.Degraded, ill)
				continue
			}
			s.log.Info("php-cgi is well again: no child has died for a while", "pid", t.proc.PID(), "while", s.command.window)
			s.tell(sdk.Ready, "", t.endpoint())
		case <-t.children.emergency:
			s.replace(ctx)
		case <-t.proc.Done():
			s.retire()
			return fmt.Sprintf("the php-cgi parent %d ended (%v), its children serve on%s", t.proc.PID(), t.proc.Err(), t.out.tail())
		}
	}
}

// pause waits, dealing with releases meanwhile; false means stop.
func (s *supervisor) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-s.p.wake:
			s.release(ctx)
		case name := <-s.ended:
			s.forget(name)
		case <-timer.C:
			return ctx.Err() == nil
		}
	}
}

// retire takes the current tree out of service.
func (s *supervisor) retire() {
	s.retired[s.current.name] = s.current
	s.current = nil
}

// release ends the retired trees whose endpoints the pool gave back.
func (s *supervisor) release(ctx context.Context) {
	for _, id := range s.p.takeReleased() {
		if t := s.retired[id]; t != nil {
			s.end(ctx, t, releaseGrace)
		}
	}
}

// end ends a retired tree in the background. It stays listed until it is gone.
func (s *supervisor) end(ctx context.Context, t *tree, grace time.Duration) {
	if s.ending[t.name] != nil {
		return
	}
	ctx, kill := context.WithTimeout(context.WithoutCancel(ctx), grace)
	s.ending[t.name] = kill
	go func() { // endAll waits for it
		defer kill()
		if err := t.end(ctx); err != nil && grace > 0 {
			s.log.Warn("php-cgi did not end in order", "error", err)
		}
		s.ended <- t.name
	}()
}

func (s *supervisor) forget(name string) {
	s.p.trees.remove(name)
	delete(s.retired, name)
	delete(s.ending, name)
}

// endAll ends every tree and waits; what is left at the plugin's bound is
// killed.
func (s *supervisor) endAll(ctx context.Context) {
	if s.current != nil {
		s.retire()
	}
	for _, t := range s.retired {
		s.end(ctx, t, stopGrace)
	}
	bound := s.p.life.Bound(ctx).Done()
	for len(s.retired) > 0 {
		select {
		case name := <-s.ended:
			s.forget(name)
		case <-bound:
			bound = nil
			for _, kill := range s.ending {
				kill()
			}
		}
	}
}

// tell reports a state with every group there is.
func (s *supervisor) tell(kind sdk.StateKind, reason string, endpoints ...sdk.Endpoint) {
	var groups []int
	for _, t := range s.retired {
		if t.group.Alive() {
			groups = append(groups, t.group.ID)
		}
	}
	for _, t := range []*tree{s.current, s.starting} {
		if t != nil {
			groups = append(groups, t.group.ID)
		}
	}
	slices.Sort(groups)
	s.report(sdk.State{Kind: kind, Reason: reason, Endpoints: endpoints, ProcessGroups: groups})
}
