package sdktest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/pluginhost"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
)

// maxWorkers is how many requests a plugin is told to expect at once.
const maxWorkers = 16

type suite struct {
	Options
	host   *pluginhost.Host
	folder string
	mark   string // in the environment of the plugin's process
}

func (s *suite) spec(settings json.RawMessage) api.PluginSpec {
	return api.PluginSpec{
		Type: "tested", Command: s.Command, Env: s.Env, Worker: "tested", Folder: s.Folder, DocumentRoot: s.DocumentRoot,
		MaxWorkers: maxWorkers, Settings: settings,
	}
}

// giveUp is what a plugin gets to stop that has failed its case.
const giveUp = 2 * time.Second

// running is a started plugin.
type running struct {
	api.Plugin
	suite *suite
	sets  chan api.EndpointSet
	// last set and the process groups named so far.
	last   api.EndpointSet
	groups []process.Group
}

func (s *suite) start(ctx context.Context) (*running, error) {
	r := &running{suite: s, sets: make(chan api.EndpointSet, 16)}
	var err error
	r.Plugin, err = s.host.Start(ctx, s.spec(s.Settings), api.PluginEvents{
		Ready: func(set api.EndpointSet) { r.sets <- set },
	})
	if err != nil {
		return nil, err
	}
	return r, r.next(ctx)
}

// next waits for the next set, and releases the last one as a pool would.
func (r *running) next(ctx context.Context) error {
	select {
	case set := <-r.sets:
		if r.last.Release != nil {
			r.last.Release()
		}
		r.last = set
		for _, e := range set.Endpoints {
			for _, id := range e.ProcessGroups {
				r.groups = append(r.groups, process.FindGroup(id))
			}
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no endpoints are lent: %w", context.Cause(ctx))
	}
}

// end stops the plugin and looks for what it left.
func (r *running) end(ctx context.Context) error {
	family := descendants(r.State().PID)
	if err := r.Stop(ctx); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	for _, g := range r.groups {
		if members := g.Members(); len(members) > 0 {
			return fmt.Errorf("processes are left after Stop: %v", members)
		}
	}
	if left := family.alive(); len(left) > 0 {
		return fmt.Errorf("processes are left after Stop: %v", left)
	}
	for _, e := range r.last.Endpoints {
		if _, err := os.Stat(e.Address); e.Network == "unix" && err == nil {
			return fmt.Errorf("a socket is left after Stop: %s", e.Address)
		}
	}
	return nil
}

// with runs do with a started plugin, and ends that.
func (s *suite) with(ctx context.Context, do func(*running) error) error {
	r, err := s.start(ctx)
	if err != nil {
		return err
	}
	if err := do(r); err != nil {
		short, cancel := quickly(ctx, giveUp)
		defer cancel()
		_ = r.Stop(short) // whose complaints would be of the same fault
		return err
	}
	return r.end(ctx)
}

// endpoint is where the next request goes.
func (r *running) endpoint() sdk.Endpoint { return r.last.Endpoints[0] }

// outside says which unix socket is not in the worker's runtime folder, where
// the host removes it and nobody else gets at it.
func (r *running) outside() error {
	for _, e := range r.last.Endpoints {
		if dir := filepath.Dir(e.Address); e.Network == "unix" && !strings.HasPrefix(dir, r.suite.host.Folder()) {
			return fmt.Errorf("endpoint %s is outside of the runtime folder", e.Address)
		}
	}
	return nil
}
