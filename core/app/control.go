package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/control"
	"github.com/mevdschee/tqserver/core/listen"
)

// controlStop is how long a call under way may take when the server stops.
const controlStop = time.Second

var errNoOperator = errors.New("the configuration has no module that runs workers (`backend:`)")

// openControl binds the control socket. That another server has it is how a second
// one on one configuration is found out.
func (p *process) openControl() (net.Listener, error) {
	l, err := p.sockets.Listen("unix:"+p.fixed.controlSocket(), listen.Options{Mode: controlMode, Vital: true})
	if err != nil {
		return nil, fmt.Errorf("server.control_socket: does a server run on this configuration already? (`tqserver reload` makes it take over changes): %w", err)
	}
	return l, nil
}

const controlMode fs.FileMode = 0o600

// serveControl answers commands until the end of ctx, which comes after that of
// the generations.
func (p *process) serveControl(ctx context.Context, l net.Listener) {
	s := control.NewServer(p, p.log)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(l); err != nil {
			p.log.Error("commands cannot reach the server any more", "error", err)
		}
	})
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), controlStop)
	defer cancel()
	s.Stop(stopping)
	serving.Wait()
}

var _ control.Handler = (*process)(nil)

// Info implements control.Handler.
func (p *process) Info() control.Info {
	g := p.current.Load()
	info := control.Info{PID: os.Getpid(), Version: p.build.version(), Started: p.started, Generation: g.number}
	if err := g.report(); err != nil {
		info.Problems = err.Error()
	}
	return info
}

// Reload implements control.Handler.
func (p *process) Reload(ctx context.Context, dry bool) (control.Reloaded, error) {
	out, err := p.reload(ctx, dry)
	if err != nil {
		return control.Reloaded{}, err
	}
	r := control.Reloaded{Changes: out.changes}
	if out.problems != nil {
		r.Problems = out.problems.Error()
	}
	return r, nil
}

// Restart implements control.Handler. It takes turns with reloads, which may end
// what it works on.
func (p *process) Restart(ctx context.Context, worker string) error {
	return p.inTurn(ctx, func(ctx context.Context) error {
		operator := p.current.Load().parts.Operator
		if operator == nil {
			return errNoOperator
		}
		began := time.Now()
		if err := operator.Restart(ctx, worker); err != nil {
			return err
		}
		p.log.Info("restarted", "worker", worker, "took", time.Since(began))
		return nil
	})
}

// Status implements control.Handler.
func (p *process) Status(ctx context.Context, worker string, full bool) ([]api.WorkerStatus, error) {
	operator := p.current.Load().parts.Operator
	var names []string
	switch {
	case worker != "" && operator == nil:
		return nil, errNoOperator
	case worker != "":
		names = []string{worker}
	case operator != nil:
		names = operator.Names()
	}
	list, errs := make([]api.WorkerStatus, len(names)), make([]error, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() { list[i], errs[i] = operator.Status(ctx, name, full) })
	}
	asking.Wait()
	return list, errors.Join(errs...)
}
