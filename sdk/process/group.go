package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Group identifies a process group so that a stranger that got the same
// number later is not taken for it.
type Group struct {
	// ID is the group's number, its leader's pid.
	ID int
	// Start is when the leader started, in clock ticks since boot
	// (/proc/PID/stat, field 22); 0 when it had gone before it was looked at.
	Start uint64
	// child: the leader is this process's own child, and waited for elsewhere.
	child bool
}

// FindGroup describes the group with this number as it is now.
func FindGroup(pgid int) Group {
	g := Group{ID: pgid}
	if s, err := ReadStat(pgid); err == nil && s.Group == pgid {
		g.Start, g.child = s.Start, s.Parent == os.Getpid()
	}
	return g
}

// stranger says whether the number belongs to somebody else by now. The
// kernel gives a number away only when no process and no group has it, so a
// group that has lost its leader keeps it.
func (g Group) stranger() bool {
	s, err := ReadStat(g.ID)
	return err == nil && s.Start != g.Start
}

// Signal sends sig to every member. A group that is gone is no error.
func (g Group) Signal(sig syscall.Signal) error {
	if g.ID <= 1 {
		return fmt.Errorf("process group %d: %w", g.ID, syscall.EINVAL) // 0 and -1 mean others
	}
	if g.stranger() {
		return nil
	}
	if err := syscall.Kill(-g.ID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%v to process group %d: %w", sig, g.ID, err)
	}
	return nil
}

// Members are the pids in the group, without those that have ended and were
// not waited for yet (zombies).
func (g Group) Members() []int {
	if g.gone() {
		return nil
	}
	living, _ := g.among(allPIDs())
	return living
}

// gone says that there is no such group any more, not even of zombies.
func (g Group) gone() bool {
	return g.ID <= 1 || errors.Is(syscall.Kill(-g.ID, 0), syscall.ESRCH) || g.stranger()
}

// among finds the members of the group: those that live, and the zombies.
func (g Group) among(pids []int) (living, ended []int) {
	for _, pid := range pids {
		switch s, err := ReadStat(pid); {
		case err != nil || s.Group != g.ID:
		case s.Ended():
			ended = append(ended, pid)
		default:
			living = append(living, pid)
		}
	}
	return living, ended
}

// Alive reports whether the group has a member that has not ended.
func (g Group) Alive() bool { return len(g.Members()) > 0 }

// Kill sends SIGKILL and waits until nobody is left or ctx ends.
func (g Group) Kill(ctx context.Context) error {
	if err := g.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	return g.wait(ctx, syscall.SIGKILL)
}

// End sends SIGTERM, waits until ctx ends, and then kills. It returns
// ErrKilled when that was needed.
func (g Group) End(ctx context.Context) error {
	if err := g.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if g.wait(ctx, 0) == nil {
		return nil
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), killWait)
	defer cancel()
	return errors.Join(fmt.Errorf("process group %d: %w after its time to stop", g.ID, ErrKilled), g.Kill(bound))
}

// wait polls, because nobody but a parent is told of an end. It repeats again,
// if not 0, as a fork may have been under way during the first. All processes of
// the machine are looked through only when those known of the group have ended:
// many groups may be waited for at once.
func (g Group) wait(ctx context.Context, again syscall.Signal) error {
	pause := time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for known := []int(nil); !g.gone(); {
		if known = g.reap(known); len(known) == 0 {
			if known = g.reap(allPIDs()); len(known) == 0 {
				return nil
			}
		}
		if again != 0 {
			_ = g.Signal(again)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process group %d is still alive: %w", g.ID, context.Cause(ctx))
		case <-timer.C:
			pause = min(2*pause, 50*time.Millisecond)
			timer.Reset(pause)
		}
	}
	return nil
}

// reap returns which of the pids are living members. It waits for those that have
// ended and became this process's children because their own parent died and this
// process is PID 1 or a subreaper. A leader that this process started is left to Process.
func (g Group) reap(pids []int) (living []int) {
	living, ended := g.among(pids)
	for _, pid := range ended {
		if pid != g.ID || !g.child {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // ECHILD: not ours
		}
	}
	return living
}

// KillGroup sends SIGKILL to a group just started, without waiting. A group
// that is gone is no error.
func KillGroup(pgid int) error { return FindGroup(pgid).Signal(syscall.SIGKILL) }
