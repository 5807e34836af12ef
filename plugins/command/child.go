package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
)

// reapTimeout bounds the wait for a process whose group is gone.
const reapTimeout = 5 * time.Second

// child is one process of the program, with where it listens. Whoever starts it
// calls end.
type child struct {
	id      string // of its endpoint
	log     *slog.Logger
	program *program
	limits  process.Limits
	share   int // of the requests at once
	proc    *process.Process
	group   process.Group
	out     output
	lines   [2]*process.Lines
	socket  string
	port    string
	started time.Time
	served  time.Time // since when it is ready
	ends    bool      // guarded by the supervisor's mu

	network, address string // where it answers; set by ready
}

// place says where the process is to listen, and returns that for its environment.
func (c *child) place(ctx context.Context, folder string) ([]string, error) {
	if c.program.Listen == listenSocket {
		c.socket = filepath.Join(folder, c.id+".sock")
		_ = os.Remove(c.socket)
		return []string{"SOCKET_PATH=" + c.socket}, nil
	}
	// Free now, and given out in turn by the kernel, so that it still is when the
	// program asks for it; who takes it in between makes the program end, and the
	// next one gets another.
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("finding a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	_, c.port, err = net.SplitHostPort(l.Addr().String())
	return []string{"PORT=" + c.port, "HOST=127.0.0.1"}, err
}

// start starts the process, which outlives ctx.
func (c *child) start(ctx context.Context, folder string) error {
	where, err := c.place(ctx, folder)
	if err != nil {
		return err
	}
	env := append(where, c.program.env...)
	args := make([]string, 0, len(c.program.Exec))
	for _, arg := range c.program.Exec[1:] {
		args = append(args, expand(arg, env))
	}
	var pipes [2]*os.File
	for i := range pipes {
		if pipes[i], c.lines[i], err = process.LinePipe(c.out.emit(i)); err != nil { //nolint:contextcheck // lines belong to no request
			break
		}
		defer func() { _ = pipes[i].Close() }()
	}
	if err == nil {
		c.started = time.Now()
		c.proc, err = process.Start(process.Spec{
			Path: c.program.path, Args: args, Env: env, Dir: c.program.dir, Stdout: pipes[stdout], Stderr: pipes[stderr],
		})
	}
	if err != nil {
		for i, l := range c.lines {
			if l != nil {
				_ = pipes[i].Close()
				l.Close()
			}
		}
		return err
	}
	c.group = c.proc.Group()
	return nil
}

// limit puts the worker's limits on the process and what it has started already.
func (c *child) limit() error {
	for _, pid := range c.group.Members() {
		if err := c.limits.Apply(pid); err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// ready waits until the process answers.
func (c *child) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.program.StartTimeout)
	defer cancel()
	if err := c.limit(); err != nil {
		return err
	}
	const soonest, latest = 5 * time.Millisecond, 200 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last error
	for pause := soonest; ; pause = min(2*pause, latest) {
		select {
		case <-c.proc.Done():
			c.closeLines() // all that was printed is read then
			return fmt.Errorf("it ended before it answered (%s)%s", c.ending(), c.out.tail())
		case <-ctx.Done():
			if last == nil {
				last = context.Cause(ctx)
			}
			return fmt.Errorf("it does not answer within start_timeout (%v): %w%s", c.program.StartTimeout, last, c.out.tail())
		case <-timer.C:
		}
		for _, at := range c.candidates() {
			var err error
			if err = c.ask(ctx, at[0], at[1]); err == nil {
				c.network, c.address, c.served = at[0], at[1], time.Now()
				return c.limit()
			}
			if ctx.Err() == nil && !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist) || last == nil {
				last = err
			}
		}
		timer.Reset(pause)
	}
}

// candidates are the addresses where it may listen: who asks for "localhost"
// gets one of two.
func (c *child) candidates() [][2]string {
	if c.socket != "" {
		return [][2]string{{"unix", c.socket}}
	}
	return [][2]string{{"tcp", net.JoinHostPort("127.0.0.1", c.port)}, {"tcp", net.JoinHostPort("::1", c.port)}}
}

// watch returns when the process has ended, or is ill, and says why.
func (c *child) watch(ctx context.Context) (why string) {
	var ticks <-chan time.Time
	if c.program.Health.Path != "" {
		ticker := time.NewTicker(c.program.Health.Interval)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return ""
		case <-c.proc.Done():
			c.closeLines()
			return fmt.Sprintf("process %d ended (%s)%s", c.proc.PID(), c.ending(), c.out.tail())
		case <-ticks:
		}
		err := c.ask(ctx, c.network, c.address)
		if err == nil || ctx.Err() != nil || c.proc.Ended() {
			failures = 0
			continue
		}
		failures++
		c.log.Warn("a process does not answer as it should", "pid", c.proc.PID(), "error", err, "times", failures, "of", c.program.Health.Failures)
		if failures >= c.program.Health.Failures {
			return fmt.Sprintf("process %d is not well: %v%s", c.proc.PID(), err, c.out.tail())
		}
	}
}

func (c *child) ending() string {
	if err := c.proc.Err(); err != nil {
		return err.Error()
	}
	return "exit status 0"
}

// endpoint is what the pool is lent.
func (c *child) endpoint() sdk.Endpoint {
	return sdk.Endpoint{
		ID: c.id, Network: c.network, Address: c.address, MaxConcurrent: c.share, Protocol: sdk.HTTP, ProcessGroups: []int{c.group.ID},
	}
}

// end ends the process group: SIGTERM, and SIGKILL when ctx ends. Nothing of it
// is left then. The error says what did not go in order.
func (c *child) end(ctx context.Context) error {
	err := c.group.End(ctx)
	timer := time.NewTimer(reapTimeout)
	defer timer.Stop()
	select {
	case <-c.proc.Done():
	case <-timer.C:
		err = errors.Join(err, fmt.Errorf("process %d does not end after SIGKILL", c.proc.PID()))
	}
	c.closeLines()
	if c.socket != "" {
		_ = os.Remove(c.socket)
	}
	return err
}

// closeLines may be called more than once, by one at a time.
func (c *child) closeLines() {
	for i, l := range c.lines {
		if l != nil {
			l.Close()
			c.lines[i] = nil
		}
	}
}

func childID(number int) string { return "command-" + strconv.Itoa(number) }
