package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ErrKilled says that SIGTERM was not enough.
var ErrKilled = errors.New("killed")

// killWait bounds the wait after SIGKILL. Only a process stuck in the kernel
// takes longer, and waiting would not help it.
const killWait = 5 * time.Second

// Signal sends sig to the child alone. A child that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%v to %s (pid %d): %w", sig, p.name, p.PID(), err)
	}
	return nil
}

// Stop ends the child and whatever else is in its group: SIGTERM to the child,
// SIGKILL to the group when ctx ends or as soon as the child has. It returns
// nil when the child went by itself, ErrKilled when it had to be killed.
// Calling it twice is fine.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	var killed error
	select {
	case <-p.done:
	case <-ctx.Done():
		if p.Ended() {
			break
		}
		killed = fmt.Errorf("%s (pid %d): %w after its time to stop", p.name, p.PID(), ErrKilled)
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), killWait)
	defer cancel()
	if err := p.group.Kill(bound); err != nil {
		return errors.Join(killed, err)
	}
	select {
	case <-p.done:
		return killed
	case <-bound.Done():
		return errors.Join(killed, fmt.Errorf("%s (pid %d) is still there after SIGKILL", p.name, p.PID()))
	}
}
