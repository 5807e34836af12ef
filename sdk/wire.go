package sdk

import (
	"encoding/json"

	"github.com/mevdschee/tqserver/sdk/control"
	"github.com/mevdschee/tqserver/sdk/process"
)

func workerFromWire(w *control.Worker) Worker {
	return Worker{
		Name: w.GetName(), Folder: w.GetFolder(), DocumentRoot: w.GetDocumentRoot(), RuntimeFolder: w.GetRuntimeFolder(),
		MaxWorkers: int(w.GetMaxWorkers()), Settings: json.RawMessage(w.GetSettings()), Limits: limitsFromWire(w.GetLimits()),
	}
}

func limitsFromWire(w *control.Limits) (l process.Limits) {
	if w == nil {
		return l
	}
	l.Files, l.Core, l.AddressSpace = w.Files, w.Core, w.AddressSpace
	if w.Nice != nil {
		nice := int(w.GetNice())
		l.Nice = &nice
	}
	return l
}

func processToWire(p Process) *control.Process {
	w := &control.Process{
		Pid: int32(p.PID), Connection: uint64(p.Connection), Memory: p.Memory, PeakMemory: p.PeakMemory,
		CpuUs: p.CPU.Microseconds(), Stack: p.Stack, Unread: p.Unread,
	}
	if !p.Started.IsZero() {
		w.StartedUs = p.Started.UnixMicro()
	}
	return w
}

func descriptionToWire(d Description) *control.DescribeResponse {
	return &control.DescribeResponse{
		Name: d.Name, Version: d.Version, Summary: d.Summary, SettingsSchema: d.SettingsSchema, Features: d.Features,
	}
}

func problemsToWire(problems []Problem) *control.CheckResponse {
	r := &control.CheckResponse{}
	for _, p := range problems {
		r.Problems = append(r.Problems, &control.Problem{Path: p.Path, Message: p.Message})
	}
	return r
}

func stateToWire(s State) *control.State {
	kinds := map[StateKind]control.StateKind{
		Starting: control.StateKind_STATE_KIND_STARTING,
		Ready:    control.StateKind_STATE_KIND_READY,
		Degraded: control.StateKind_STATE_KIND_DEGRADED,
		Failed:   control.StateKind_STATE_KIND_FAILED,
	}
	r := &control.State{Kind: kinds[s.Kind], Reason: s.Reason, ProcessGroups: groupsToWire(s.ProcessGroups)}
	for _, e := range s.Endpoints {
		r.Endpoints = append(r.Endpoints, &control.Endpoint{
			Id: e.ID, Network: e.Network, Address: e.Address,
			MaxConcurrent: int32(e.MaxConcurrent), ProcessGroups: groupsToWire(e.ProcessGroups),
			Protocol: string(e.Protocol), Trailers: e.Trailers,
		})
	}
	return r
}

func groupsToWire(groups []int) []int32 {
	var wire []int32
	for _, g := range groups {
		wire = append(wire, int32(g))
	}
	return wire
}
