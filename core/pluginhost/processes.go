package pluginhost

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/control"
)

// lessee asks the plugin process that lent a set of endpoints about the
// processes that serve them. It implements api.Processes.
type lessee struct{ inst *instance }

// Retire implements api.Processes.
func (l lessee) Retire(ctx context.Context, r sdk.Retirement) (sdk.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, l.inst.host.timing.call)
	defer cancel()
	answer, err := l.inst.rpc.Retire(ctx, &control.RetireRequest{Connection: uint64(r.Connection), Reason: r.Reason, Busy: r.Busy})
	if err != nil {
		return sdk.Process{}, l.failed("retire", err)
	}
	return processFromWire(answer), nil
}

// Inspect implements api.Processes.
func (l lessee) Inspect(ctx context.Context, i sdk.Inspection) ([]sdk.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, l.inst.host.timing.call)
	defer cancel()
	question := &control.InspectRequest{Stack: i.Stack}
	for _, c := range i.Connections {
		question.Connections = append(question.Connections, uint64(c))
	}
	answer, err := l.inst.rpc.Inspect(ctx, question)
	if err != nil {
		return nil, l.failed("inspect", err)
	}
	processes := make([]sdk.Process, 0, len(answer.GetProcesses()))
	for _, p := range answer.GetProcesses() {
		processes = append(processes, processFromWire(p))
	}
	return processes, nil
}

// Load implements api.Processes.
func (l lessee) Load(ctx context.Context, load sdk.Load) error {
	ctx, cancel := context.WithTimeout(ctx, l.inst.host.timing.call)
	defer cancel()
	_, err := l.inst.rpc.Load(ctx, &control.LoadRequest{Active: int32(load.Active), Idle: int32(load.Idle), Queued: int32(load.Queued)})
	if err != nil {
		return l.failed("load", err)
	}
	return nil
}

// failed makes errors of the contract out of those of the wire.
func (l lessee) failed(call string, err error) error {
	switch status.Code(err) {
	case codes.Unimplemented:
		err = errors.ErrUnsupported
	case codes.NotFound:
		err = sdk.ErrNoProcess
	case codes.Unavailable, codes.Canceled:
		err = fmt.Errorf("%w: %w", api.ErrPluginGone, err)
	default:
	}
	return fmt.Errorf("%s by plugin of worker %s: %w", call, l.inst.spec.Worker, err)
}
