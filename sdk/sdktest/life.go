package sdktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
)

// handshake: it starts and describes itself, twice the same, in a bounded time.
func (s *suite) handshake(ctx context.Context) error {
	var first sdk.Description
	for n := range 2 {
		r, err := s.start(ctx)
		if err != nil {
			return err
		}
		about := r.State().About
		if err := r.end(ctx); err != nil {
			return err
		}
		if n == 0 {
			first = about
			continue
		}
		if about.Name != first.Name || about.Version != first.Version || !bytes.Equal(about.SettingsSchema, first.SettingsSchema) {
			return fmt.Errorf("it describes itself in two ways: %+v, %+v", first, about)
		}
	}
	if first.Name == "" {
		return errors.New("its description has no name")
	}
	if len(first.SettingsSchema) > 0 {
		var schema map[string]any
		if err := json.Unmarshal(first.SettingsSchema, &schema); err != nil {
			return fmt.Errorf("its settings' schema is no JSON object: %w", err)
		}
	}
	return nil
}

// checks: Check refuses what is wrong, takes what is right, starts nothing.
func (s *suite) checks(ctx context.Context) error {
	problems, err := s.host.Check(ctx, s.spec(s.Settings))
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("good settings are refused: %v", problems)
	}
	if s.BadSettings == nil {
		return nil
	}
	if problems, err = s.host.Check(ctx, s.spec(s.BadSettings)); err != nil {
		return err
	}
	if len(problems) == 0 {
		return errors.New("bad settings are not refused")
	}
	for _, p := range problems {
		if p.Message == "" || strings.HasSuffix(p.Message, ".") {
			return fmt.Errorf("problem of %q: the message %q is empty or ends with a period", p.Path, p.Message)
		}
	}
	_, err = s.host.Start(ctx, s.spec(s.BadSettings), api.PluginEvents{})
	if refused := (*api.SettingsError)(nil); !errors.As(err, &refused) {
		return fmt.Errorf("with bad settings the start ended with %w, and not with their problems", err)
	}
	return nil
}

// slowStart: a start that is interrupted by the machine goes on.
func (s *suite) slowStart(ctx context.Context) error {
	began := make(chan struct{})
	stopped := make(chan error, 1)
	go func() { // ends with the pause below
		close(began)
		stopped <- s.pause(ctx)
	}()
	<-began
	err := s.with(ctx, func(r *running) error { return once(ctx, r.endpoint(), s.get()) })
	return errors.Join(err, <-stopped)
}

// pauseTime is shorter than what the host takes for a hang (three health checks).
const pauseTime = time.Second

// pause stops the plugin as soon as there is one, for a while.
func (s *suite) pause(ctx context.Context) error {
	pid := 0
	if err := until(ctx, "the plugin's process", func() bool {
		pid = s.pluginProcess()
		return pid > 0
	}); err != nil {
		return nil //nolint:nilerr // the start itself has failed, and says so
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return nil //nolint:nilerr // the same
	}
	timer := time.NewTimer(pauseTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	_ = syscall.Kill(pid, syscall.SIGCONT)
	return nil
}

// signalTime is how long a signal may take to end a plugin.
const signalTime = 500 * time.Millisecond

// ignoresSignals: a service manager sends SIGTERM to all processes while the
// server drains.
func (s *suite) ignoresSignals(ctx context.Context) error {
	return s.with(ctx, func(r *running) error {
		pid := r.State().PID
		err := errors.Join(syscall.Kill(pid, syscall.SIGTERM), syscall.Kill(pid, syscall.SIGINT))
		watched, cancel := quickly(ctx, signalTime)
		defer cancel()
		if until(watched, "", func() bool { return r.State().PID != pid }) == nil {
			return errors.Join(err, errors.New("SIGTERM or SIGINT ended the plugin while its host was there"))
		}
		return errors.Join(err, once(ctx, r.endpoint(), s.get()))
	})
}

// comesBack: after SIGKILL another process serves, and what the first one left
// is gone at the end.
func (s *suite) comesBack(ctx context.Context) error {
	return s.with(ctx, func(r *running) error {
		first := r.State().PID
		family := descendants(first)
		if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
			return err
		}
		if err := r.next(ctx); err != nil {
			return err
		}
		if err := once(ctx, r.endpoint(), s.get()); err != nil {
			return err
		}
		return until(ctx, "the end of what the killed one had started", func() bool { return len(family.alive()) == 0 })
	})
}

// idleTime is how long a plugin may take to stop that has nothing to do.
const idleTime = 8 * time.Second

// stops: Stop of a plugin that has nothing to do does not take its whole time.
func (s *suite) stops(ctx context.Context) error {
	r, err := s.start(ctx)
	if err != nil {
		return err
	}
	p, err := dial(ctx, r.endpoint()) // a kept connection holds up nobody
	if err == nil {
		defer func() { _ = p.Close() }()
		_, _, _, err = whole(p, s.get())
	}
	began := time.Now()
	stopping, cancel := quickly(ctx, s.patience(idleTime))
	defer cancel()
	err = errors.Join(err, r.end(stopping))
	if took := time.Since(began); took > s.patience(idleTime) {
		err = errors.Join(err, fmt.Errorf("stopping an idle plugin took %v", took.Round(time.Millisecond)))
	}
	return err
}

// until polls until ok says yes, or ctx ends.
func until(ctx context.Context, what string, ok func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
	return nil
}
