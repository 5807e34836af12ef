package app

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
)

func serve(ctx context.Context, b Build, f configFlags, stderr io.Writer) error {
	tuneMemory()
	tuneProcessors()
	// Registered before anything starts, so that a signal in between is kept.
	// A reader of our log that goes away (SIGPIPE) must not end the server.
	signals, hangups, rotations := make(chan os.Signal, 4), make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(hangups, syscall.SIGHUP)
	signal.Notify(rotations, syscall.SIGUSR1)
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Stop(signals)
	defer signal.Stop(hangups)
	defer signal.Stop(rotations)

	// First of all, lest a child inherits them.
	passed := activation.Files(true)

	p, err := open(ctx, b, f, stderr)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.sockets.Inherit(passed); err != nil {
		return err
	}
	commands, err := p.openControl() //nolint:contextcheck // listening does not wait
	if err != nil {
		return err
	}

	starting, abort := context.WithCancelCause(ctx)
	started := make(chan error, 1)
	first := p.current.Load()
	go func() {
		err := first.start(starting)
		if err != nil {
			err = errors.Join(err, first.undo(starting))
		}
		started <- err
	}()
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
	first.serve()
	for _, name := range p.sockets.Unused() {
		p.log.Warn("a socket was passed to the server that no setting listens on; connections to it wait", "socket", name)
	}
	p.manager.ready("serving")
	p.log.Info("ready", "pid", os.Getpid(), "version", b.version())
	var background sync.WaitGroup
	background.Go(giveBack)
	background.Go(func() { p.reloadOn(hangups) })
	background.Go(func() { p.reopenOn(rotations) })
	background.Go(func() { p.serveControl(p.patience, commands) })
	background.Go(p.watch)
	for i := range first.remote.sources {
		background.Go(func() { p.watchRemote(i) })
	}
	p.keepCopies(first.remote)
	if p.manager.there() {
		background.Go(func() { p.report(p.patience) })
	}

	var failure error
	select {
	case <-ctx.Done():
	case sig := <-signals:
		p.log.Info("stopping: running requests may finish", "signal", sig.String(), "within", p.current.Load().config.DrainTimeout)
	case failure = <-p.failed:
		p.log.Error("stopping: the server cannot go on", "error", failure)
	}
	p.beginStop()
	p.manager.stopping()
	err = p.stop(ctx, signals, failure)
	p.losePatience(nil)
	background.Wait()
	return err
}

// reloadOn reloads at every signal until the server stops; of those that come
// while one is under way, one is kept.
func (p *process) reloadOn(hangups <-chan os.Signal) {
	for {
		select {
		case sig := <-hangups:
			p.log.Info("reloading", "signal", sig.String())
			_, _ = p.reload(p.stopping, false) // which logs
		case <-p.stopping.Done():
			return
		}
	}
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
	go func() { stopped <- p.end(ctx) }()
	var err error
	select {
	case err = <-stopped:
	case sig := <-signals:
		p.log.Warn("stopping now: requests are cut off", "signal", sig.String())
		cancel(errSecondSignal)
		p.losePatience(errSecondSignal)
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
