package sdk

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/mevdschee/tqserver/sdk/control"
)

// fake is a Plugin made of functions.
type fake struct {
	check    func(Worker) []Problem
	run      func(context.Context, Worker, func(State)) error
	stop     func(context.Context)
	released []string
}

func (f *fake) Describe() Description {
	return Description{Name: "n", Version: "v", Summary: "s", SettingsSchema: []byte(`{}`), Features: []string{"f"}}
}
func (f *fake) Check(_ context.Context, w Worker) []Problem { return f.check(w) }
func (f *fake) Release(ids []string)                        { f.released = ids }
func (f *fake) Stop(ctx context.Context)                    { f.stop(ctx) }

func (f *fake) Run(ctx context.Context, w Worker, report func(State)) error {
	return f.run(ctx, w, report)
}

// serve runs the service over real gRPC.
func serve(t *testing.T, p Plugin) (*service, control.PluginClient, *int) {
	t.Helper()
	calls := 0
	s := newService(t.Context(), p, slog.New(slog.DiscardHandler), func() { calls++ })
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream))
	control.RegisterPluginServer(server, s)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) })
	conn, err := grpc.NewClient("passthrough:x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		s.cancel(errHostGone)
		server.Stop()
		served.Wait()
	})
	return s, control.NewPluginClient(conn), &calls
}

func TestDescribeCheckRelease(t *testing.T) {
	f := &fake{check: func(w Worker) []Problem {
		return []Problem{{Path: "a.b", Message: w.Name}, {Message: string(w.Settings)}}
	}}
	_, c, calls := serve(t, f)
	d, err := c.Describe(t.Context(), &control.DescribeRequest{})
	if err != nil || d.GetName() != "n" || d.GetVersion() != "v" || d.GetSummary() != "s" || string(d.GetSettingsSchema()) != "{}" || d.GetFeatures()[0] != "f" {
		t.Errorf("%v, %v", d, err)
	}
	r, err := c.Check(t.Context(), &control.CheckRequest{Worker: &control.Worker{Name: "w", Settings: []byte("[]")}})
	if err != nil || len(r.GetProblems()) != 2 || r.GetProblems()[0].GetMessage() != "w" || r.GetProblems()[1].GetMessage() != "[]" {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := c.Release(t.Context(), &control.ReleaseRequest{EndpointIds: []string{"x", "y"}}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"x", "y"}, f.released); diff != "" {
		t.Error(diff)
	}
	if *calls != 1 {
		t.Errorf("the first call was told %d times", *calls)
	}
	f.check = func(Worker) []Problem { panic("checked to death") }
	if _, err := c.Check(t.Context(), &control.CheckRequest{}); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "checked to death") {
		t.Error(err)
	}
}

// states reads the stream to its end.
func states(stream grpc.ServerStreamingClient[control.State]) ([]control.StateKind, error) {
	var kinds []control.StateKind
	for {
		s, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return kinds, nil
		}
		if err != nil {
			return kinds, err
		}
		kinds = append(kinds, s.GetKind())
	}
}

func TestRunReportsAndEnds(t *testing.T) {
	many := func(report func(State)) {
		for range 3 * statesQueued {
			report(State{Kind: Ready})
		}
	}
	for name, c := range map[string]struct {
		run  func(context.Context, Worker, func(State)) error
		want string
		n    int
	}{
		"returns":         {func(_ context.Context, _ Worker, r func(State)) error { many(r); return nil }, "", 3 * statesQueued},
		"fails":           {func(_ context.Context, _ Worker, r func(State)) error { many(r); return errors.New("no luck") }, "no luck", 3 * statesQueued},
		"panics":          {func(_ context.Context, _ Worker, r func(State)) error { many(r); panic("boom") }, "boom", 3 * statesQueued},
		"reports nothing": {func(context.Context, Worker, func(State)) error { return nil }, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, client, _ := serve(t, &fake{run: c.run})
			stream, err := client.Run(t.Context(), &control.RunRequest{Worker: &control.Worker{}})
			if err != nil {
				t.Fatal(err)
			}
			got, err := states(stream)
			if len(got) != c.n {
				t.Errorf("%d states, want %d", len(got), c.n)
			}
			if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			again, err := client.Run(t.Context(), &control.RunRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := states(again); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("a second Run: %v", err)
			}
		})
	}
}

func TestRunEndsWithTheHost(t *testing.T) {
	for name, leave := range map[string]func(*service, context.CancelFunc){
		"its stream ends": func(_ *service, cancel context.CancelFunc) { cancel() },
		"its lifeline":    func(s *service, _ context.CancelFunc) { s.cancel(errHostGone) },
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			s, client, _ := serve(t, &fake{run: func(ctx context.Context, _ Worker, report func(State)) error {
				report(State{Kind: Starting})
				<-ctx.Done()
				report(State{Kind: Ready}) // nobody takes it: must not block
				ended <- context.Cause(ctx)
				return ctx.Err()
			}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stream, err := client.Run(ctx, &control.RunRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			leave(s, cancel)
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("Run goes on")
			}
		})
	}
}

func TestStop(t *testing.T) {
	stopped := make(chan struct{})
	calls := make(chan struct{}, 1)
	calls <- struct{}{}
	f := &fake{
		stop: func(ctx context.Context) {
			select {
			case <-calls: // the first one hangs
				<-ctx.Done()
			default:
				close(stopped)
			}
		},
		run: func(ctx context.Context, _ Worker, report func(State)) error {
			report(State{Kind: Starting})
			select {
			case <-stopped:
			case <-ctx.Done():
			}
			return nil
		},
	}
	_, client, _ := serve(t, f)
	if _, err := client.Stop(t.Context(), &control.StopRequest{WithinMs: 1}); err != nil {
		t.Errorf("Stop without Run: %v", err)
	}
	stream, err := client.Run(t.Context(), &control.RunRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Stop(t.Context(), &control.StopRequest{WithinMs: 20}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a Stop that hangs: %v", err)
	}
	if _, err := client.Stop(t.Context(), &control.StopRequest{WithinMs: 10_000}); err != nil {
		t.Error(err)
	}
	if _, err := states(stream); err != nil {
		t.Error(err)
	}
}
