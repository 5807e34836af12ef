package backend

import (
	"context"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
)

// slowPlugin tells how long it was given to stop.
type slowPlugin struct {
	api.Plugin
	given chan time.Duration
}

func (p *slowPlugin) Stop(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	p.given <- time.Until(deadline)
	return ctx.Err()
}

// A worker that is still busy is cut short; its neighbour is not.
func TestStopGivesABusyWorkerLittleTimeAndOthersTheirs(t *testing.T) {
	b := &Backend{}
	for range 2 {
		p := newPool("w", 1, time.Second)
		p.ready(api.EndpointSet{Release: func() {}, Endpoints: []sdk.Endpoint{{ID: "x", Network: "unix", Address: "/x", MaxConcurrent: 2}}})
		b.workers = append(b.workers, &hosted{worker: &worker{pool: p}, running: &slowPlugin{given: make(chan time.Duration, 1)}})
	}
	b.workers[0].pool.open = 1
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := b.Stop(ctx); err != nil {
		t.Error(err)
	}
	for i, want := range []time.Duration{killGrace, time.Hour} {
		plugin, ok := b.workers[i].running.(*slowPlugin)
		if got := <-plugin.given; !ok || got > want || got < want*9/10 {
			t.Errorf("worker %d was given %v, want %v", i, got, want)
		}
	}
}
