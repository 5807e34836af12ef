package backend

import (
	"context"
	"log/slog"
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
	limits := defaultPool()
	limits.StartWorkers = 0
	for want, open := range map[time.Duration]int{killGrace: 1, time.Hour: 0} {
		plugin := &slowPlugin{given: make(chan time.Duration, 1)}
		s := newSite(definition{name: "w", limits: limits}, Deps{}, slog.New(slog.DiscardHandler))
		s.pool.ready(api.EndpointSet{Release: func() {}, Endpoints: []sdk.Endpoint{{ID: "x", Network: "unix", Address: "/x", MaxConcurrent: 2}}})
		s.pool.open = open
		s.crew = &crew{site: s, plugin: plugin}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		if err := s.stop(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		if got := <-plugin.given; got > want || got < want*9/10 {
			t.Errorf("given %v, want %v", got, want)
		}
	}
}

// A plugin that died is replaced although its crew has left: nobody would give
// back what the new one lends, and the crew's end waits for all that is lent.
func TestCrewThatHasLeftUsesNothing(t *testing.T) {
	c := &crew{site: &site{}, change: make(chan struct{}, 1)}
	c.leave()
	released := 0
	c.ready(api.EndpointSet{Release: func() { released++ }})
	if released != 1 || c.lent.Load() != 0 {
		t.Errorf("released %d times, %d lent", released, c.lent.Load())
	}
}
