package pluginhost

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/control"
)

func TestStateFromWire(t *testing.T) {
	t.Parallel()
	ready := func(e ...*control.Endpoint) *control.State {
		return &control.State{Kind: control.StateKind_STATE_KIND_READY, Endpoints: e}
	}
	good := &control.Endpoint{Id: "a", Network: "unix", Address: "/x", MaxConcurrent: 2, ProcessGroups: []int32{7}}
	st, err := stateFromWire(&control.State{
		Kind: control.StateKind_STATE_KIND_READY, Reason: "r", ProcessGroups: []int32{7, 8},
		Endpoints: []*control.Endpoint{good, {Id: "b", Network: "tcp", Address: "127.0.0.1:9", MaxConcurrent: 1, Protocol: "http"}},
	})
	want := sdk.State{Kind: sdk.Ready, Reason: "r", ProcessGroups: []int{7, 8}, Endpoints: []sdk.Endpoint{
		{ID: "a", Network: "unix", Address: "/x", MaxConcurrent: 2, Protocol: sdk.FastCGI, ProcessGroups: []int{7}},
		{ID: "b", Network: "tcp", Address: "127.0.0.1:9", MaxConcurrent: 1, Protocol: sdk.HTTP},
	}}
	if diff := cmp.Diff(want, st); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for name, c := range map[string]struct {
		state *control.State
		want  string
	}{
		"no kind":       {&control.State{}, "unknown state"},
		"future kind":   {&control.State{Kind: 99}, "unknown state 99"},
		"no endpoint":   {ready(), "without an endpoint"},
		"network":       {ready(&control.Endpoint{Network: "udp", Address: "x", MaxConcurrent: 1}), "unknown network"},
		"protocol":      {ready(&control.Endpoint{Network: "tcp", Address: "h:1", Protocol: "scgi", MaxConcurrent: 1}), "unknown protocol"},
		"relative path": {ready(&control.Endpoint{Network: "unix", Address: "x", MaxConcurrent: 1}), "absolute"},
		"no port":       {ready(&control.Endpoint{Network: "tcp", Address: "localhost", MaxConcurrent: 1}), "port"},
		"no concurrent": {ready(&control.Endpoint{Network: "unix", Address: "/x"}), "max_concurrent"},
		"named twice":   {ready(good, good), "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := stateFromWire(c.state); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
