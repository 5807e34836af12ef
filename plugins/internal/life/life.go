// Package life is what the plugins that manage processes have in common: a Run that
// is called once and ended by Stop, and the waits between starts that fail.
package life

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/mevdschee/tqserver/sdk"
)

// Life is that of one plugin.
type Life struct {
	stopping chan struct{} // closed by the first Stop

	mu      sync.Mutex
	stopCtx context.Context //nolint:containedctx // Stop's, for Run
	done    chan struct{}   // closed when Run has returned; nil while it was not called
}

// New returns the life of a plugin that does not run yet.
func New() *Life { return &Life{stopping: make(chan struct{})} }

// Begin is called by Run, which calls end when it returns. A second Run is an error.
func (l *Life) Begin() (end func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done != nil {
		return nil, errors.New("the plugin runs already")
	}
	done := make(chan struct{})
	l.done = done
	return func() { close(done) }, nil
}

// Stopping is closed by the first Stop.
func (l *Life) Stopping() <-chan struct{} { return l.stopping }

// Done is closed when Run has returned; nil while it was not called.
func (l *Life) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}

// Stop ends Run, which has until ctx ends for what still works, and returns when Run
// has returned, or at ctx's end.
func (l *Life) Stop(ctx context.Context) {
	l.mu.Lock()
	if l.stopCtx == nil {
		l.stopCtx = ctx
		close(l.stopping)
	}
	done := l.done
	l.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Bound returns what bounds the end of everything: Stop's context, or run, which has
// ended then, when Run's own ended without a Stop.
func (l *Life) Bound(run context.Context) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopCtx != nil {
		return l.stopCtx
	}
	return run
}

// Error makes one error of problems.
func Error(problems []sdk.Problem) error {
	errs := make([]string, len(problems))
	for i, p := range problems {
		errs[i] = strings.TrimPrefix(p.Path+": "+p.Message, ": ")
	}
	return errors.New(strings.Join(errs, "; "))
}
