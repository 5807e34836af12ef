package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// outcome of a reload.
type outcome struct {
	changes []api.Change
	// problems of parts that go on in an older version.
	problems error
}

// inTurn runs what changes the generations or their workers, one after the other,
// and ends its context when the server stops.
func (p *process) inTurn(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.stopping, func() { cancel(errStopping) })() //nolint:contextcheck // the end of another one
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("another reload or restart is under way: %w", context.Cause(ctx))
	}
	defer func() { <-p.turn }()
	err := do(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	return err
}

// reload builds a generation from the configuration of now beside the one that
// serves, and lets it take over. When anything of it fails, what half succeeded
// is undone and the one of before serves on. A dry one ends before the start. One
// reload waits for another.
func (p *process) reload(ctx context.Context, dry bool) (out outcome, err error) {
	var began time.Time
	err = p.inTurn(ctx, func(ctx context.Context) error {
		began = time.Now()
		if !dry {
			p.manager.reloading()
			defer func() {
				if p.stopping.Err() == nil {
					p.manager.ready("serving")
				}
			}()
		}
		var err error
		out, err = p.replace(ctx, dry)
		return err
	})
	switch {
	case dry:
	case err != nil:
		p.log.Error("reload failed, the configuration of before serves on", "error", err)
	default:
		if out.problems != nil {
			p.log.Error("reloaded, but for workers that go on as they were", "error", out.problems)
		}
		p.log.Info("reloaded", "generation", p.current.Load().number, "took", time.Since(began))
	}
	return out, err
}

// replace is reload, when it is its turn.
func (p *process) replace(ctx context.Context, dry bool) (out outcome, err error) {
	before := p.current.Load()
	var content []byte
	if before.config.Watch {
		content, _ = contentOf(before.watched())
	}
	c, err := settle(ctx, p.build, p.flags, false)
	if err != nil {
		return out, err
	}
	if err := c.server.fixed(c.tree, p.fixed); err != nil {
		return out, err
	}
	if !dry {
		select {
		case p.retiring.room <- struct{}{}:
		case <-ctx.Done():
			return out, fmt.Errorf("%d older generations still finish their requests, for server.drain_timeout (%v) at most: %w",
				maxRetiring, before.config.DrainTimeout, context.Cause(ctx))
		}
	}
	next, changes, err := p.bringUp(ctx, before, content, c, dry)
	if next != nil {
		out.changes, out.problems = changes, next.report()
	}
	if err != nil && !dry {
		<-p.retiring.room
	}
	if err != nil || dry {
		return out, err
	}
	// From here on nothing can fail.
	p.live.Set(c.log)
	next.serve()
	p.current.Store(next)
	p.tellSwitched()
	p.retire(before)
	p.keepCopies(c.remote)
	return out, nil
}

// bringUp builds a generation and starts it, or only checks it. When all that is
// wrong are parts that can go on as they are, it is built again with these left as
// they are; each time at least one more is.
func (p *process) bringUp(ctx context.Context, before *generation, content []byte, c settled, dry bool) (*generation, []api.Change, error) {
	refused := &api.Refused{}
	var attempts []*generation
	// Last: what they have started is taken over by then.
	defer func() {
		for _, attempt := range attempts {
			if err := attempt.undo(ctx); err != nil {
				p.log.Warn("undoing what was not taken over", "error", err)
			}
		}
	}()
	for {
		next, err := newGeneration(before.number+1, c, p.shared, refused)
		if err != nil {
			return nil, nil, err
		}
		next.remember(before, content)
		changes := next.plan()
		if dry {
			err = next.tryOut(ctx)
		} else if err = next.start(ctx); err != nil {
			attempts = append(attempts, next)
		}
		if err == nil || !allRefused(err) {
			return next, changes, err
		}
	}
}

// allRefused says that nothing is wrong but what api.Refused has noted.
func allRefused(err error) bool {
	switch err := err.(type) { //nolint:errorlint // every one of those joined has to be one
	case *api.Refusal:
		return true
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(err.Unwrap(), func(one error) bool { return !allRefused(one) })
	}
	return false
}
