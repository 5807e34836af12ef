package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/listen"
	"github.com/mevdschee/tqserver/core/pluginhost"
	"github.com/mevdschee/tqserver/core/telemetry"
)

// logFlush is how long the last log lines may take to be written.
const logFlush = time.Second

// process is one run of the server: its configuration and what outlives a
// generation.
type process struct {
	gen    *generation
	log    *slog.Logger
	failed chan error
	close  func()
}

// open reads the configuration and builds a generation from it.
func open(ctx context.Context, b Build, f configFlags, stderr io.Writer) (_ *process, err error) {
	tree, on, err := load(b, f)
	if err != nil {
		return nil, err
	}
	config, err := serverSection.Decode(tree)
	if err != nil {
		return nil, err
	}
	logConfig, err := telemetry.Section.Decode(tree)
	if err != nil {
		return nil, err
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the server's own executable: %w", err)
	}
	runtime, err := filepath.Abs(config.RuntimeFolder)
	if err != nil {
		return nil, fmt.Errorf("server.runtime_folder: %w", err)
	}
	log, async := telemetry.New(logConfig, stderr)
	p := &process{log: log, failed: make(chan error, 1)}
	flush := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logFlush)
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
		host.Reap()
		if err := host.Close(); err != nil {
			log.Error("cleaning up", "error", err)
		}
		flush()
	})
	sockets := addresses{set: listen.NewSet(log), taken: map[string]string{}}
	p.gen, err = newGeneration(tree, on, config, longLived{
		log:     log,
		listen:  sockets.listen,
		claim:   sockets.claim,
		plugins: host,
		runtime: api.Runtime{Executable: executable, Folder: host.Folder(), Version: b.version()},
		failed: func(err error) {
			select {
			case p.failed <- err:
			default:
			}
		},
	})
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func check(ctx context.Context, b Build, f configFlags, stderr io.Writer) error {
	p, err := open(ctx, b, f, stderr)
	if err != nil {
		return err
	}
	defer p.close()
	ctx, cancel := context.WithTimeout(ctx, p.gen.config.StartTimeout)
	defer cancel()
	return p.gen.check(ctx, true)
}

func serve(ctx context.Context, b Build, f configFlags, stderr io.Writer) error {
	// Registered before anything starts, so that a signal in between is kept.
	// A reader of our log that goes away (SIGPIPE) must not end the server, nor
	// must a closed terminal.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	defer signal.Stop(signals)

	p, err := open(ctx, b, f, stderr)
	if err != nil {
		return err
	}
	defer p.close()

	starting, abort := context.WithCancelCause(ctx)
	started := make(chan error, 1)
	go func() { started <- p.gen.start(starting) }()
	select {
	case err := <-started:
		abort(nil)
		if err != nil {
			return err
		}
	case sig := <-signals:
		p.log.Info("stopping before the start was complete", "signal", sig.String())
		abort(errors.New(sig.String()))
		return p.aborted(<-started)
	}
	p.log.Info("ready", "pid", os.Getpid(), "version", b.version())

	var failure error
	select {
	case <-ctx.Done():
	case sig := <-signals:
		p.log.Info("stopping: running requests may finish", "signal", sig.String(), "within", p.gen.config.DrainTimeout)
	case failure = <-p.failed:
		p.log.Error("stopping: the server cannot go on", "error", failure)
	}
	return p.stop(ctx, signals, failure)
}

// aborted says what is left to say of a start that a signal ended.
func (p *process) aborted(err error) error {
	p.log.Debug("the start was undone", "error", err)
	return nil
}

// stop drains; a second signal ends the patience.
func (p *process) stop(ctx context.Context, signals <-chan os.Signal, failure error) error {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stopped := make(chan error, 1)
	go func() { stopped <- p.gen.stop(ctx) }()
	var err error
	select {
	case err = <-stopped:
	case sig := <-signals:
		p.log.Warn("stopping now: requests are cut off", "signal", sig.String())
		cancel(errors.New("a second signal"))
		err = <-stopped
		err = errors.Join(errors.New("stopped by a second signal"), err)
	}
	switch {
	case failure != nil:
		return failure
	case err != nil:
		p.log.Warn("stopped, but not in order", "error", err)
		return &exitError{code: exitForced, err: err}
	}
	p.log.Info("stopped")
	return nil
}
