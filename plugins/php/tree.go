package php

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/process"
)

const (
	// startTimeout bounds the time from start to ready; big opcache preloads
	// take seconds.
	startTimeout = 30 * time.Second
	// reapTimeout bounds the wait for a parent whose group is gone.
	reapTimeout = 5 * time.Second
)

// tree is one php-cgi parent with its children, their socket and their output.
// Whoever starts it calls end.
type tree struct {
	name     string // "php-1": the endpoint's ID
	socket   string
	version  string // of PHP
	limits   process.Limits
	serving  int // children that the pool may use at once
	started  time.Time
	proc     *process.Process
	group    process.Group
	out      *output
	lines    *process.Lines
	children *children
}

// command is how a tree is started.
type command struct {
	path    string
	version string
	args    []string
	env     []string
	dir     string // the current folder
	size    int    // requests at once
	// window and emergency: see ledger.
	window    time.Duration
	emergency emergency
	limits    process.Limits
}

// spare is how many children there are beyond those: a child that is retired
// has its successor waiting in accept already.
const spare = 1

// startTree starts php-cgi on a new socket in folder. It outlives ctx.
func startTree(log *slog.Logger, c command, folder, name string) (*tree, error) {
	t := &tree{name: name, socket: filepath.Join(folder, name+".sock"), version: c.version, limits: c.limits, serving: c.size, started: time.Now(), out: &output{log: log}}
	socket, err := listen(t.socket)
	if err != nil {
		return nil, err
	}
	defer func() { _ = socket.Close() }()
	w, lines, err := process.LinePipe(t.out.emit)
	if err != nil {
		_ = os.Remove(t.socket)
		return nil, err
	}
	defer func() { _ = w.Close() }()
	t.lines = lines
	t.proc, err = process.Start(process.Spec{
		Path: c.path, Args: c.args, Dir: c.dir, Env: append([]string{
			// One child too: without children a retired one has no successor.
			"PHP_FCGI_CHILDREN=" + strconv.Itoa(c.size+spare),
			"PHP_FCGI_MAX_REQUESTS=0",
		}, c.env...),
		Stdin: socket, Stdout: w, Stderr: w,
		// It serves on when we die. The kernel hangs up a process group of our
		// session that loses us while one of its members is stopped (setpgid(2)), as
		// the parent is in a crash loop.
		NewSession: true,
	})
	if err != nil {
		_ = w.Close()
		lines.Close()
		_ = os.Remove(t.socket)
		return nil, err
	}
	t.group = t.proc.Group()
	yieldToServer(t.proc.PID())
	if err := c.limits.Apply(t.proc.PID()); err != nil && !t.proc.Ended() {
		t.abandon()
		return nil, err
	}
	t.children = watchChildren(log, t.proc, c.size+spare, c.window, c.emergency)
	return t, nil
}

// abandon kills what was just started.
func (t *tree) abandon() {
	_ = t.group.Signal(syscall.SIGKILL)
	<-t.proc.Done() // nothing it could wait for has begun
	t.lines.Close()
	_ = os.Remove(t.socket)
}

// ready waits until the tree answers and all its children exist.
func (t *tree) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	asked := make(chan error, 1) // its buffer lets the question end alone
	go func() { asked <- t.ask(ctx) }()
	full := t.children.full
	for asked != nil || full != nil {
		select {
		case err := <-asked:
			if err != nil {
				return t.failure(fmt.Errorf("php-cgi does not answer: %w", err))
			}
			asked = nil
		case <-full:
			full = nil
		case <-t.children.storm:
			return t.failure(fmt.Errorf("%d children of php-cgi ended at their start", tooManyDeaths))
		case <-t.proc.Done():
			return t.failure(errors.New("php-cgi ended at its start"))
		case <-ctx.Done():
			return t.failure(fmt.Errorf("php-cgi is not ready: %w", ctx.Err()))
		}
	}
	// Those that were forked before the parent had its limits; none has served
	// yet but one, which was asked for its values.
	for _, pid := range t.children.list() {
		if err := t.limits.Apply(pid); err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, os.ErrNotExist) {
			return t.failure(err)
		}
	}
	t.children.serving.Store(true)
	return nil
}

// failure adds to err how the parent ended and what it wrote.
func (t *tree) failure(err error) error {
	select {
	case <-t.proc.Done():
		t.lines.Close() // all that was written is read then
		if perr := t.proc.Err(); perr != nil {
			err = fmt.Errorf("%w (%w)", err, perr)
		}
	default:
	}
	return fmt.Errorf("%w%s", err, t.out.tail())
}

// ask sends FCGI_GET_VALUES over the socket: a child answers it between
// requests.
func (t *tree) ask(ctx context.Context) error {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", t.socket)
	if err != nil {
		return err
	}
	c := fastcgi.NewConn(nc, fastcgi.ConnOptions{})
	defer func() { _ = c.Close() }()
	_, err = c.GetValues(ctx)
	return err
}

// endpoint is what the pool is lent.
func (t *tree) endpoint() sdk.Endpoint {
	return sdk.Endpoint{ID: t.name, Network: "unix", Address: t.socket, MaxConcurrent: t.serving, ProcessGroups: []int{t.group.ID}}
}

// remind sends the youngest children another SIGTERM: one that was just forked
// when the first came still had its parent's handler, which swallows it
// (sapi/cgi/cgi_main.c, fastcgi_cleanup), and would wait for requests until it
// is killed. Not to all: a script's sleep() ends by it.
func (t *tree) remind(ctx context.Context) {
	const after, youngest = 100 * time.Millisecond, time.Second
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	for _, pid := range t.group.Members() {
		if s, err := process.ReadStat(pid); err == nil && pid != t.group.ID && s.Group == t.group.ID && time.Since(s.StartTime()) < after+youngest {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}
}

// end ends the group: it may finish what runs until ctx ends, then it is
// killed. Nothing of the tree is left afterwards, the socket included. The
// error says what did not go in order.
func (t *tree) end(ctx context.Context) error {
	t.children.stop() // from here on their end is no news
	t.endIdle()
	ending, over := context.WithCancel(context.WithoutCancel(ctx))
	var again sync.WaitGroup
	again.Go(func() { t.remind(ending) })
	again.Go(func() { t.nudge(ending) })
	err := t.group.End(ctx)
	over()
	again.Wait()
	timer := time.NewTimer(reapTimeout)
	defer timer.Stop()
	select {
	case <-t.proc.Done():
	case <-timer.C:
		err = errors.Join(err, fmt.Errorf("php-cgi %d does not end after SIGKILL", t.proc.PID()))
	}
	t.lines.Close()
	_ = os.Remove(t.socket)
	return err
}
