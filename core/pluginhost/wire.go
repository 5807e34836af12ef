package pluginhost

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/control"
	"github.com/mevdschee/tqserver/sdk/process"
)

func workerToWire(s api.PluginSpec, runtimeFolder string) *control.Worker {
	return &control.Worker{
		Name: s.Worker, Folder: s.Folder, DocumentRoot: s.DocumentRoot, RuntimeFolder: runtimeFolder,
		MaxWorkers: int32(s.MaxWorkers), Settings: s.Settings, Limits: limitsToWire(s.Limits),
	}
}

func limitsToWire(l process.Limits) *control.Limits {
	w := &control.Limits{Files: l.Files, Core: l.Core, AddressSpace: l.AddressSpace}
	if l.Nice != nil {
		nice := int32(*l.Nice)
		w.Nice = &nice
	}
	return w
}

func processFromWire(w *control.Process) sdk.Process {
	p := sdk.Process{
		PID: int(w.GetPid()), Connection: sdk.Connection(w.GetConnection()), Memory: w.GetMemory(), PeakMemory: w.GetPeakMemory(),
		CPU: time.Duration(w.GetCpuUs()) * time.Microsecond, Stack: w.GetStack(), Unread: w.GetUnread(),
	}
	if w.GetStartedUs() != 0 {
		p.Started = time.UnixMicro(w.GetStartedUs())
	}
	return p
}

func descriptionFromWire(d *control.DescribeResponse) sdk.Description {
	return sdk.Description{
		Name: d.GetName(), Version: d.GetVersion(), Summary: d.GetSummary(),
		SettingsSchema: json.RawMessage(d.GetSettingsSchema()), Features: d.GetFeatures(),
	}
}

func problemsFromWire(r *control.CheckResponse) []sdk.Problem {
	var problems []sdk.Problem
	for _, p := range r.GetProblems() {
		problems = append(problems, sdk.Problem{Path: p.GetPath(), Message: p.GetMessage()})
	}
	return problems
}

// stateFromWire checks what a plugin reports: a host that believed a wrong
// endpoint would send requests into the void.
func stateFromWire(s *control.State) (sdk.State, error) {
	kinds := map[control.StateKind]sdk.StateKind{
		control.StateKind_STATE_KIND_STARTING: sdk.Starting,
		control.StateKind_STATE_KIND_READY:    sdk.Ready,
		control.StateKind_STATE_KIND_DEGRADED: sdk.Degraded,
		control.StateKind_STATE_KIND_FAILED:   sdk.Failed,
	}
	kind, ok := kinds[s.GetKind()]
	if !ok {
		return sdk.State{}, fmt.Errorf("unknown state %d", s.GetKind())
	}
	st := sdk.State{Kind: kind, Reason: s.GetReason(), ProcessGroups: groupsFromWire(s.GetProcessGroups())}
	ids := make(map[string]bool)
	for _, e := range s.GetEndpoints() {
		endpoint := sdk.Endpoint{
			ID: e.GetId(), Network: e.GetNetwork(), Address: e.GetAddress(),
			MaxConcurrent: int(e.GetMaxConcurrent()), ProcessGroups: groupsFromWire(e.GetProcessGroups()),
			Protocol: cmp.Or(sdk.Protocol(e.GetProtocol()), sdk.FastCGI), Trailers: e.GetTrailers(),
		}
		if err := validEndpoint(endpoint); err != nil {
			return sdk.State{}, fmt.Errorf("endpoint %q: %w", endpoint.ID, err)
		}
		if ids[endpoint.ID] {
			return sdk.State{}, fmt.Errorf("endpoint %q is named twice", endpoint.ID)
		}
		ids[endpoint.ID] = true
		st.Endpoints = append(st.Endpoints, endpoint)
	}
	if kind == sdk.Ready && len(st.Endpoints) == 0 {
		return sdk.State{}, errors.New("ready without an endpoint")
	}
	return st, nil
}

func validEndpoint(e sdk.Endpoint) error {
	switch e.Network {
	case "unix":
		if !filepath.IsAbs(e.Address) {
			return fmt.Errorf("%q is not an absolute path", e.Address)
		}
	case "tcp":
		if _, _, err := net.SplitHostPort(e.Address); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown network %q", e.Network)
	}
	if e.Protocol != sdk.FastCGI && e.Protocol != sdk.HTTP {
		return fmt.Errorf("unknown protocol %q", e.Protocol)
	}
	if e.MaxConcurrent < 1 {
		return errors.New("max_concurrent is less than 1")
	}
	return nil
}

func groupsFromWire(wire []int32) []int {
	var groups []int
	for _, g := range wire {
		groups = append(groups, int(g))
	}
	return groups
}
