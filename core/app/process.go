package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/listen"
	"github.com/mevdschee/tqserver/core/pluginhost"
	"github.com/mevdschee/tqserver/core/telemetry"
)

const (
	// logFlush is how long the last log lines may take to be written.
	logFlush = time.Second
	// maxRetiring is how many older generations may finish their requests at once.
	maxRetiring = 8
)

var (
	errSecondSignal = errors.New("a second signal")
	errStopping     = errors.New("the server is stopping")
)

// process is one run of the server: what outlives a generation, and the
// generations.
type process struct {
	build   Build
	flags   configFlags
	fixed   serverConfig // of the start
	log     *slog.Logger
	live    *telemetry.Live
	sockets *listen.Set
	manager manager
	shared  longLived
	failed  chan error
	started time.Time
	close   func()

	// turn is held, by whoever fills it, to change which generation serves.
	turn     chan struct{}
	current  atomic.Pointer[generation]
	draining atomic.Bool
	switched chan struct{} // holds one: another generation serves
	// stopping ends when the server begins to stop; patience when it must end.
	stopping, patience context.Context
	beginStop          func()
	losePatience       context.CancelCauseFunc

	retiring struct {
		room chan struct{}
		all  sync.WaitGroup
		mu   sync.Mutex
		gens map[*generation]struct{}
	}
}

// open reads the configuration and builds a generation from it.
func open(ctx context.Context, b Build, f configFlags, stderr io.Writer) (*process, error) {
	c, err := settle(ctx, b, f, true)
	if err != nil {
		return nil, err
	}
	return newProcess(ctx, b, f, c, stderr)
}

// newProcess builds the first generation from a configuration.
func newProcess(ctx context.Context, b Build, f configFlags, c settled, stderr io.Writer) (_ *process, err error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the server's own executable: %w", err)
	}
	runtime, err := filepath.Abs(c.server.RuntimeFolder)
	if err != nil {
		return nil, fmt.Errorf("server.runtime_folder: %w", err)
	}
	log, live, async := telemetry.New(c.log, stderr)
	p := &process{
		build: b, flags: f, fixed: c.server, log: log, live: live, sockets: listen.NewSet(log), manager: manager{log},
		failed: make(chan error, 1), started: time.Now(), turn: make(chan struct{}, 1), switched: make(chan struct{}, 1),
	}
	p.retiring.room = make(chan struct{}, maxRetiring)
	p.retiring.gens = map[*generation]struct{}{}
	root := context.WithoutCancel(ctx)
	stopping, stop := context.WithCancelCause(root)
	p.stopping, p.beginStop = stopping, func() { stop(errStopping) }
	p.patience, p.losePatience = context.WithCancelCause(root)
	flush := func() {
		ctx, cancel := context.WithTimeout(root, logFlush)
		defer cancel()
		_ = async.Close(ctx)
	}
	host, err := pluginhost.New(pluginhost.Options{RuntimeFolder: runtime, Executable: executable, Log: log})
	if err != nil {
		flush()
		return nil, err
	}
	// The last reaper: whatever fx returned, no process outlives this one.
	p.close = sync.OnceFunc(func() { //nolint:contextcheck // nothing may cut it short
		p.beginStop()
		p.losePatience(errStopping)
		host.Reap()
		if err := errors.Join(host.Close(), p.sockets.Close()); err != nil {
			log.Error("cleaning up", "error", err)
		}
		flush()
	})
	p.shared = longLived{
		log:      log,
		listen:   lend(p.sockets), //nolint:contextcheck // listening does not wait
		plugins:  host,
		runtime:  api.Runtime{Executable: executable, Folder: host.Folder(), Version: b.version(), Development: f.dev},
		kept:     &api.Kept{},
		draining: p.draining.Load,
		failed: func(err error) {
			select {
			case p.failed <- err:
			default:
			}
		},
	}
	first, err := newGeneration(1, c, p.shared, &api.Refused{})
	if err != nil {
		p.close()
		return nil, err
	}
	first.remember(first, nil)
	for _, doubt := range c.remote.doubts {
		p.log.Warn(doubt)
	}
	p.current.Store(first)
	return p, nil
}

// retire ends g in the background. A place in retiring.room has been taken.
func (p *process) retire(g *generation) {
	p.retiring.mu.Lock()
	p.retiring.gens[g] = struct{}{}
	p.retiring.mu.Unlock()
	p.retiring.all.Go(func() {
		began := time.Now()
		err := g.retire(p.patience)
		p.retiring.mu.Lock()
		delete(p.retiring.gens, g)
		p.retiring.mu.Unlock()
		<-p.retiring.room
		if err != nil {
			p.log.Warn("an older configuration did not end in order", "generation", g.number, "error", err)
			return
		}
		p.log.Debug("an older configuration has ended", "generation", g.number, "after", time.Since(began))
	})
}

// end stops the generation that serves; those that retire close their idle
// connections and have their own time to finish.
func (p *process) end(ctx context.Context) error {
	p.draining.Store(true)
	p.beginStop()
	p.turn <- struct{}{} // a reload under way gives up soon
	p.retiring.mu.Lock()
	var closing sync.WaitGroup
	for g := range p.retiring.gens {
		closing.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, g.config.DrainTimeout)
			defer cancel()
			_ = g.closeFronts(ctx) // retire tells of the same
		})
	}
	p.retiring.mu.Unlock()
	err := p.current.Load().stop(ctx)
	closing.Wait()
	p.retiring.all.Wait()
	return err
}
