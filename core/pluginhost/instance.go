package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	goruntime "github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/control"
	"github.com/mevdschee/tqserver/sdk/process"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// instance is one plugin process and what it has reported.
type instance struct {
	host    *Host
	spec    api.PluginSpec
	log     *slog.Logger
	folder  string
	cell    string // its control group's folder, or empty
	control string // folder of go-plugin's socket
	runner  *runner
	client  *goplugin.Client
	rpc     control.PluginClient
	health  grpc_health_v1.HealthClient
	about   sdk.Description
	secrets settings.Secrets // of its settings
	// stopRun ends the Run stream.
	stopRun context.CancelFunc
	// sick gets one error when the plugin hangs; nil before run.
	sick <-chan error

	mu     sync.Mutex
	dead   bool
	groups map[int]process.Group // reported, by number
	leases map[*lease]struct{}   // not released yet
}

// launch starts a plugin process: handshake and Describe. ctx bounds that; the
// process lives until end.
//
// cell is its control group, which is the instance's from then on, or empty.
func (h *Host) launch(ctx context.Context, spec api.PluginSpec, cell string) (_ *instance, err error) {
	defer func() {
		if err != nil && cell != "" {
			bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.timing.end)
			defer cancel()
			err = errors.Join(err, h.leave(bound, cell))
		}
	}()
	if len(spec.Command) == 0 {
		return nil, errors.New("no command for the plugin")
	}
	as, err := lookupOwner(spec.User, spec.Group)
	if err != nil {
		return nil, err
	}
	inst := &instance{
		host: h, spec: spec, log: h.log.With("worker", spec.Worker, "plugin", spec.Type),
		groups: make(map[int]process.Group), leases: make(map[*lease]struct{}),
		stopRun: func() {}, cell: cell,
	}
	if inst.folder, err = h.folder.sub(as); err != nil {
		return nil, err
	}
	inst.runner = newRunner(h, spec, as, inst.log)
	inst.runner.cell = cell
	if err := inst.connect(ctx, as); err != nil {
		// Killed, so that what it printed and how it ended can be told.
		killed, cancel := context.WithTimeout(context.WithoutCancel(ctx), reapWait)
		defer cancel()
		cleanup := inst.bury(killed)
		inst.remove(killed)
		return nil, errors.Join(fmt.Errorf("starting plugin %s: %w%s", filepath.Base(spec.Command[0]), err, inst.runner.explain()), cleanup)
	}
	return inst, nil
}

func (i *instance) connect(ctx context.Context, as *owner) error {
	if err := executable(i.spec.Command[0]); err != nil {
		return err
	}
	if err := checkSum(i.spec.Command[0], i.spec.SHA256); err != nil {
		return err
	}
	i.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  control.Handshake(),
		VersionedPlugins: control.Plugins(nil),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     i.host.timing.start,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: i.host.folder.path},
		Logger:           hclog.NewNullLogger(),
		SyncStdout:       i.output(slog.LevelInfo), //nolint:contextcheck // log lines belong to no request
		SyncStderr:       i.output(slog.LevelWarn), //nolint:contextcheck // log lines belong to no request
		GRPCDialOptions:  []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(control.MaxMessage))},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, controlFolder string) (goruntime.Runner, error) {
			i.control = controlFolder
			return goRunner{runner: i.runner, env: cmd.Env}, as.give(controlFolder)
		},
	})
	ctx, cancel := context.WithTimeout(ctx, i.host.timing.start)
	defer cancel()
	type result struct {
		protocol goplugin.ClientProtocol
		err      error
	}
	connected := make(chan result, 1)
	go func() {
		protocol, err := i.client.Client()
		connected <- result{protocol, err}
	}()
	var r result
	select {
	case r = <-connected:
	case <-ctx.Done():
		return fmt.Errorf("no handshake: %w", context.Cause(ctx))
	}
	if r.err != nil {
		if !i.runner.shook() {
			return fmt.Errorf("no handshake: %w", firstLine(r.err))
		}
		return r.err
	}
	raw, err := r.protocol.Dispense(control.Name)
	if err != nil {
		return err
	}
	conn := r.protocol.(*goplugin.GRPCClient).Conn // gRPC is the only allowed protocol
	i.rpc = raw.(control.PluginClient)             // control.Plugins dispenses nothing else
	i.health = grpc_health_v1.NewHealthClient(conn)
	described, err := i.rpc.Describe(ctx, &control.DescribeRequest{})
	if err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	i.about = descriptionFromWire(described)
	i.secrets = settings.SecretsOf(i.about.SettingsSchema)
	if err := i.limit(); err != nil {
		return err
	}
	i.log.Debug("plugin started", "name", i.about.Name, "version", i.about.Version, "pid", i.runner.process().PID())
	return nil
}

// resolved is spec with what its settings refer to, read as the user and in the
// environment of the server, whose the plugin has neither.
func (i *instance) resolved(spec api.PluginSpec) (api.PluginSpec, []sdk.Problem) {
	var problems []settings.Problem
	spec.Settings, problems = i.secrets.Resolve(spec.Settings)
	unread := make([]sdk.Problem, 0, len(problems))
	for _, p := range problems {
		unread = append(unread, sdk.Problem(p))
	}
	return spec, unread
}

// limit puts the worker's limits on the plugin's process, which runs the
// application, or lets a plugin do that which starts other processes for it.
func (i *instance) limit() error {
	pid := i.runner.process().PID()
	if slices.Contains(i.about.Features, sdk.FeatureLimits) {
		if err := i.spec.Limits.Permit(pid); err != nil {
			i.log.Debug("the plugin may not be able to set all limits", "error", err)
		}
		return nil
	}
	if err := i.spec.Limits.Apply(pid); err != nil {
		return fmt.Errorf("isolation: %w", err)
	}
	return nil
}

// firstLine drops the advice go-plugin appends.
func firstLine(err error) error {
	line, _, more := strings.Cut(err.Error(), "\n")
	if !more {
		return err
	}
	return errors.New(strings.TrimRight(line, ": "))
}

// executable gives the common mistakes plain words before fork and exec do.
func executable(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s: not an absolute path", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%s: not an executable file", path)
	}
	return nil
}

// output takes what a plugin prints through go-plugin, which a plugin made
// with sdk does not.
func (i *instance) output(level slog.Level) io.Writer {
	w := process.NewLineWriter(func(line process.Line) { logLine(i.log, level, line) })
	go func() {
		<-i.runner.over
		_ = w.Close()
	}()
	return w
}

// check asks for the problems of the settings. A plugin that does not offer it
// has none.
func (i *instance) check(ctx context.Context, spec api.PluginSpec) ([]sdk.Problem, error) {
	ctx, cancel := context.WithTimeout(ctx, i.host.timing.call)
	defer cancel()
	spec, unread := i.resolved(spec)
	r, err := i.rpc.Check(ctx, &control.CheckRequest{Worker: workerToWire(spec, i.folder)})
	if status.Code(err) == codes.Unimplemented {
		return unread, nil
	}
	if err != nil {
		return nil, fmt.Errorf("check: %w%s", err, i.runner.explain())
	}
	return append(problemsFromWire(r), unread...), nil
}

// report is a state, or the end of them.
type report struct {
	state sdk.State
	err   error
}

// run calls Run and passes its states on until the stream ends, which is the
// last report.
func (i *instance) run(ctx context.Context) (<-chan report, error) {
	ctx, i.stopRun = context.WithCancel(context.WithoutCancel(ctx)) // the stream lives as long as the process
	spec, unread := i.resolved(i.spec)
	if len(unread) > 0 { // the check found them readable
		return nil, &api.SettingsError{Problems: unread}
	}
	stream, err := i.rpc.Run(ctx, &control.RunRequest{Worker: workerToWire(spec, i.folder)})
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	i.sick = i.watchHealth(ctx)
	reports := make(chan report)
	go func() {
		for {
			wire, err := stream.Recv()
			r := report{err: err}
			if err == nil {
				r.state, r.err = stateFromWire(wire)
			}
			select {
			case reports <- r:
			case <-ctx.Done():
				return
			}
			if r.err != nil {
				return
			}
		}
	}()
	return reports, nil
}

// watchHealth sends once when the plugin has not answered several times in a
// row: a stopped or dead-locked process keeps its sockets open.
func (i *instance) watchHealth(ctx context.Context) <-chan error {
	sick := make(chan error, 1)
	every := i.host.timing.ping
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for missed := 0; ; {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			ping, cancel := context.WithTimeout(ctx, every)
			_, err := i.health.Check(ping, &grpc_health_v1.HealthCheckRequest{Service: goplugin.GRPCServiceName})
			cancel()
			if status.Code(err) != codes.DeadlineExceeded {
				missed = 0 // a broken connection ends the stream of states, too
				continue
			}
			if missed++; missed >= i.host.timing.pingsMissed {
				sick <- fmt.Errorf("it hangs: no answer to %d health checks in a row", missed)
				return
			}
		}
	}()
	return sick
}

// bury kills what is left of the plugin process itself, not what it started
// in other groups, and lets go of it.
func (i *instance) bury(ctx context.Context) error {
	err := i.runner.kill(ctx)
	i.stopRun()
	i.letGo(ctx)
	i.mu.Lock()
	i.dead = true
	i.mu.Unlock()
	return err
}

// letGo frees what go-plugin holds. Its Kill returns at once when the process
// is gone, and is given a bound because it need not.
func (i *instance) letGo(ctx context.Context) {
	if i.client == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.client.Kill()
	}()
	select {
	case <-done:
		// go-plugin removes it only after a start that succeeded.
		_ = os.RemoveAll(i.control)
	case <-ctx.Done():
		i.log.Error("go-plugin did not let go of a dead plugin")
	}
}
