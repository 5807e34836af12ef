package php

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
)

// Retire kills the child at the other end of a connection, and nothing else.
// SIGTERM would do nothing: php-cgi waits for the next request on a kept
// connection and looks at the signal after it. php-cgi forks another.
func (p *plugin) Retire(ctx context.Context, r sdk.Retirement) (sdk.Process, error) {
	t, pid, inode, err := p.trees.server(ctx, r.Connection)
	if err != nil {
		return sdk.Process{}, err
	}
	told := sdk.Process{PID: pid, Connection: r.Connection}
	if r.Busy {
		told = p.inspect(t, pid, true)
		told.Connection = r.Connection
	}
	reason := r.Reason
	if reason == "" {
		reason = "the host wants it"
	}
	return told, t.children.retire(pid, inode, reason)
}

// retire kills the child if it holds the socket.
func (c *children) retire(pid int, inode uint64, reason string) error {
	// By a pidfd where there are any: what is checked is what is killed.
	target, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("php-cgi child %d: %w", pid, err)
	}
	defer func() { _ = target.Release() }()
	c.mu.Lock()
	defer c.mu.Unlock()
	stat, err := process.ReadStat(pid)
	k := c.known[pid]
	switch {
	case err != nil || stat.Ended():
		return sdk.ErrNoProcess
	case k != nil && k.start != stat.Start, k == nil && stat.Parent != c.parent:
		return sdk.ErrNoProcess // a stranger
	case k == nil:
		k = c.know(pid, stat.Start)
	}
	if !likelyHolds(pid, inode) {
		if sockets, _ := socketsOf(pid); !slices.Contains(sockets, inode) {
			return sdk.ErrNoProcess // it closed the connection meanwhile
		}
	}
	before := k.retired
	k.retired = reason // before it dies, so that its end is no crash
	if err := target.Signal(syscall.SIGKILL); err != nil {
		k.retired = before
		if errors.Is(err, os.ErrProcessDone) {
			return sdk.ErrNoProcess
		}
		return fmt.Errorf("SIGKILL to php-cgi child %d: %w", pid, err)
	}
	return nil
}
