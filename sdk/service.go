package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mevdschee/tqserver/sdk/control"
)

// statesQueued bounds the states a plugin can be ahead of the host.
const statesQueued = 64

var (
	errHostGone   = errors.New("the host is gone")
	errNotOffered = status.Error(codes.Unimplemented, "the plugin does not offer this")
)

// service serves one Plugin over gRPC.
type service struct {
	control.UnimplementedPluginServer
	plugin Plugin
	log    *slog.Logger
	// called runs before the first call is answered.
	called func()

	// ctx ends when the host is gone.
	ctx    context.Context //nolint:containedctx // the life of the process, as gRPC's own contexts are of calls
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	ran     bool
	runDone chan struct{} // closed when Run has returned; nil before it was called
}

func newService(ctx context.Context, p Plugin, log *slog.Logger, called func()) *service {
	s := &service{plugin: p, log: log, called: sync.OnceFunc(called)}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s
}

// unary keeps a panic in a plugin's method from ending the process, which
// would end the requests it serves.
func (s *service) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	s.called()
	defer s.recovered(&err)
	return next(ctx, req)
}

func (s *service) stream(srv any, st grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	s.called()
	defer s.recovered(&err)
	return next(srv, st)
}

func (s *service) recovered(err *error) {
	if v := recover(); v != nil {
		s.log.Error("panic in the plugin", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		*err = status.Errorf(codes.Internal, "panic: %v", v)
	}
}

// Describe implements control.PluginServer.
func (s *service) Describe(context.Context, *control.DescribeRequest) (*control.DescribeResponse, error) {
	return descriptionToWire(s.plugin.Describe()), nil
}

// Check implements control.PluginServer.
func (s *service) Check(ctx context.Context, r *control.CheckRequest) (*control.CheckResponse, error) {
	return problemsToWire(s.plugin.Check(ctx, workerFromWire(r.GetWorker()))), nil
}

// Release implements control.PluginServer.
func (s *service) Release(_ context.Context, r *control.ReleaseRequest) (*control.ReleaseResponse, error) {
	s.plugin.Release(r.GetEndpointIds())
	return &control.ReleaseResponse{}, nil
}

// Retire implements control.PluginServer.
func (s *service) Retire(ctx context.Context, r *control.RetireRequest) (*control.Process, error) {
	p, ok := s.plugin.(Retirer)
	if !ok {
		return nil, errNotOffered
	}
	process, err := p.Retire(ctx, Retirement{Connection: Connection(r.GetConnection()), Reason: r.GetReason(), Busy: r.GetBusy()})
	if errors.Is(err, ErrNoProcess) {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	return processToWire(process), err
}

// Inspect implements control.PluginServer.
func (s *service) Inspect(ctx context.Context, r *control.InspectRequest) (*control.InspectResponse, error) {
	p, ok := s.plugin.(Inspector)
	if !ok {
		return nil, errNotOffered
	}
	i := Inspection{Stack: r.GetStack()}
	for _, c := range r.GetConnections() {
		i.Connections = append(i.Connections, Connection(c))
	}
	processes, err := p.Inspect(ctx, i)
	answer := &control.InspectResponse{}
	for _, process := range processes {
		answer.Processes = append(answer.Processes, processToWire(process))
	}
	return answer, err
}

// Load implements control.PluginServer.
func (s *service) Load(_ context.Context, r *control.LoadRequest) (*control.LoadResponse, error) {
	p, ok := s.plugin.(LoadObserver)
	if !ok {
		return nil, errNotOffered
	}
	p.Load(Load{Active: int(r.GetActive()), Idle: int(r.GetIdle()), Queued: int(r.GetQueued())})
	return &control.LoadResponse{}, nil
}

// Metrics implements control.PluginServer.
func (s *service) Metrics(ctx context.Context, _ *control.MetricsRequest) (*control.MetricsResponse, error) {
	p, ok := s.plugin.(Meter)
	if !ok {
		return nil, errNotOffered
	}
	text, err := p.Metrics(ctx)
	return &control.MetricsResponse{Text: text}, err
}

// Stop implements control.PluginServer: it returns when Run has.
func (s *service) Stop(ctx context.Context, r *control.StopRequest) (*control.StopResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.GetWithinMs())*time.Millisecond)
	defer cancel()
	done := s.running()
	if done == nil {
		return &control.StopResponse{}, nil
	}
	go func() {
		var err error
		defer s.recovered(&err)
		s.plugin.Stop(ctx)
	}()
	select {
	case <-done:
		return &control.StopResponse{}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// running returns what is closed at the end of Run; nil when it was never called.
func (s *service) running() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runDone
}

// Run implements control.PluginServer. The plugin's Run goes on until it
// returns, even when the host no longer takes its states: its context has
// ended then.
func (s *service) Run(r *control.RunRequest, stream grpc.ServerStreamingServer[control.State]) error {
	s.mu.Lock()
	if s.ran {
		s.mu.Unlock()
		return status.Error(codes.FailedPrecondition, "run was called before")
	}
	s.ran = true
	s.runDone = make(chan struct{})
	s.mu.Unlock()

	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(errHostGone) })()

	states := make(chan State, statesQueued)
	report := func(st State) {
		select {
		case states <- st:
		case <-ctx.Done():
		}
	}
	var runErr error
	go func() {
		defer close(s.runDone)
		defer s.recovered(&runErr)
		runErr = s.plugin.Run(ctx, workerFromWire(r.GetWorker()), report)
	}()
	for {
		select {
		case st := <-states:
			if err := stream.Send(stateToWire(st)); err != nil {
				cancel(err)
				<-s.runDone
				return err
			}
			continue
		case <-s.runDone:
		}
		// What was reported last, a Failed mostly, is still to be sent.
		for len(states) > 0 {
			if err := stream.Send(stateToWire(<-states)); err != nil {
				return err
			}
		}
		if runErr != nil && !errors.Is(runErr, context.Canceled) {
			return status.Error(codes.Aborted, runErr.Error())
		}
		return nil
	}
}
