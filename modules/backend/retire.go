package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mevdschee/tqserver/sdk"
)

// Why a process is ended, as metrics and log say it.
const (
	retireRequests = "max_requests"
	retireAge      = "max_age"
	retireMemory   = "max_memory"
	retireIdle     = "idle"
	retireTimeout  = "request_timeout"
	retireGone     = "client_gone"
)

// retireWait bounds one retirement: the plugin's look-up, and the end of file.
const retireWait = 3 * time.Second

// retiresMost is the share of the processes that may be away at once: a
// quarter. The plugin holds a spare one ready for each that goes (php-cgi forks
// it within some 2 ms).
func (p *pool) retiresMost() int { return max(1, p.config.MaxWorkers/4) }

// due begins the retirement of a connection just freed, if its time has come and
// not too many are away already. Callers hold mu.
func (p *pool) due(c *poolConn) bool {
	switch {
	case c.limit > 0 && c.requests >= c.limit:
		return p.beginRetire(c, retireRequests)
	case !c.dies.IsZero() && c.last.After(c.dies):
		return p.beginRetire(c, retireAge)
	case c.measure:
		return p.beginRetire(c, retireMemory)
	}
	return false
}

// beginRetire takes over a connection without a request. Callers hold mu.
func (p *pool) beginRetire(c *poolConn, reason string) bool {
	if p.retires >= p.retiresMost() {
		return false
	}
	p.retires++
	p.held++
	go p.retire(c, reason) // bounded by retireWait; pool.stop waits for its connection
	return true
}

// retire ends the process while its connection is held, and frees the place
// when the end of file says that it is gone: the next connection cannot reach
// the dying one then.
func (p *pool) retire(c *poolConn, reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), retireWait)
	defer cancel()
	if reason == retireMemory && !p.tooLarge(ctx, c) {
		p.mu.Lock()
		p.retires--
		p.held--
		c.measure = false
		if c.set == p.set && !p.stopped {
			p.idle(c)
			p.mu.Unlock()
			return
		}
		release := p.closing(c)
		p.mu.Unlock()
		_ = c.Close()
		release()
		return
	}
	if reason != retireIdle || c.requests > 0 { // what was never used costs next to nothing
		process, err := c.end(ctx, reason, false)
		if err == nil && process.PID != 0 {
			err = c.awaitEnd(ctx)
		}
		if err != nil {
			p.log.Debug("a process could not be retired; its connection is closed", "reason", reason, "error", err)
		}
	}
	_ = c.Close()
	p.mu.Lock()
	p.retires--
	p.held--
	p.stats.retired[reason]++
	release := p.closing(c)
	p.mu.Unlock()
	release()
}

// tooLarge says whether the process has more memory than it may.
func (p *pool) tooLarge(ctx context.Context, c *poolConn) bool {
	processes, err := c.inspect(ctx, false)
	if err != nil || len(processes) == 0 {
		return false
	}
	memory := processes[0].Memory
	p.mu.Lock()
	p.stats.peakMemory = max(p.stats.peakMemory, memory)
	p.mu.Unlock()
	if memory <= int64(p.config.MaxMemory) {
		return false
	}
	p.log.Info("a process has more memory than pool.max_memory and is replaced",
		"pid", processes[0].PID, "memory", memory, "limit", p.config.MaxMemory.String(), "requests", c.requests)
	return true
}

// end has the plugin kill the process at the other end and waits for the end
// of file. A plugin that cannot is no error: to close the connection is all then.
func (c *poolConn) end(ctx context.Context, reason string, busy bool) (sdk.Process, error) {
	if c.set.Processes == nil || c.inode == 0 {
		return sdk.Process{}, nil
	}
	process, err := c.set.Processes.Retire(ctx, sdk.Retirement{Connection: c.inode, Reason: reason, Busy: busy})
	if errors.Is(err, errors.ErrUnsupported) {
		return sdk.Process{}, nil
	}
	if err != nil {
		return sdk.Process{}, err
	}
	return process, nil
}

// awaitEnd reads until the process has let go of the connection.
func (c *poolConn) awaitEnd(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	nc := c.NetConn()
	if err := nc.SetReadDeadline(deadline); err != nil {
		return err
	}
	var rest [512]byte
	for {
		if _, err := nc.Read(rest[:]); err != nil {
			if timeout(err) {
				return fmt.Errorf("its connection is still open, perhaps held by a process that a script has started: %w", err)
			}
			return nil
		}
	}
}

// inspect asks the plugin about the process at the other end.
func (c *poolConn) inspect(ctx context.Context, stack bool) ([]sdk.Process, error) {
	if c.set.Processes == nil || c.inode == 0 {
		return nil, errors.ErrUnsupported
	}
	return c.set.Processes.Inspect(ctx, sdk.Inspection{Connections: []sdk.Connection{c.inode}, Stack: stack})
}

// kill ends the process whose request ran too long, and says what it was. The
// place is given back when the process is gone.
func (p *pool) kill(c *poolConn) sdk.Process {
	ctx, cancel := context.WithTimeout(context.Background(), retireWait)
	process, err := c.end(ctx, retireTimeout, true)
	if err != nil || process.PID == 0 {
		cancel()
		if err != nil {
			p.log.Warn("the process of a request that runs too long cannot be ended", "error", err)
		}
		p.abandon(c, p.config.AbortTimeout)
		return process
	}
	p.mu.Lock()
	p.vacate(c)
	p.held++
	p.stats.retired[retireTimeout]++
	p.mu.Unlock()
	go func() { // bounded by retireWait
		defer cancel()
		if err := c.awaitEnd(ctx); err != nil {
			p.log.Warn("a process that was ended", "pid", process.PID, "error", err)
		}
		p.unhold(c)
	}()
	return process
}
