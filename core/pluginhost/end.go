package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/control"
	"github.com/mevdschee/tqserver/sdk/process"
)

// end stops a living plugin and everything it started, politely until ctx
// ends. Afterwards nothing of it is left; the error says what had to be killed.
func (i *instance) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, i.host.timing.stop)
	defer cancel()
	proc := i.runner.process()
	var errs []error
	if err := i.askStop(ctx); err != nil {
		waitFor(proc, sdk.StopGrace)
		if status.Code(err) != codes.Unavailable || !proc.Ended() { // else it has died by itself
			errs = append(errs, fmt.Errorf("plugin of worker %s (pid %d): %w: %w", i.spec.Worker, proc.PID(), ErrKilled, err))
		}
	}
	i.runner.dropLifeline()
	_ = proc.Signal(syscall.SIGTERM)
	waitFor(proc, sdk.StopGrace)
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), reapWait)
	defer cancel()
	errs = append(errs, i.bury(bound), i.endRest(ctx))
	return errors.Join(errs...)
}

// askStop has the plugin finish what runs and end its children. A plugin that
// has ended already is no error.
func (i *instance) askStop(ctx context.Context) error {
	if i.sick == nil { // Run was never called
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	deadline, _ := ctx.Deadline()
	answer := make(chan error, 1)
	go func() {
		_, err := i.rpc.Stop(ctx, &control.StopRequest{WithinMs: max(time.Until(deadline), time.Millisecond).Milliseconds()})
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case err := <-i.sick:
		return err
	case <-i.runner.process().Done():
		return nil
	}
}

// endRest ends every process group the plugin reported, lent or not, and
// removes its folder and control group.
func (i *instance) endRest(ctx context.Context) error {
	i.mu.Lock()
	rest := make([]process.Group, 0, len(i.groups))
	for id, g := range i.groups {
		rest = append(rest, g)
		delete(i.groups, id)
	}
	clear(i.leases)
	i.mu.Unlock()
	err := i.endGroups(ctx, rest)
	i.remove(ctx)
	return err
}

func waitFor(proc *process.Process, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-proc.Done():
	case <-timer.C:
	}
}
