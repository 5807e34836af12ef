package app

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/module"
	"github.com/mevdschee/tqserver/core/telemetry"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// serverSection is the server's own part of the configuration, always on.
var serverSection = conf.NewSection("server", defaultServer)

// serverConfig bounds the life of a generation.
type serverConfig struct {
	RuntimeFolder string        `conf:"runtime_folder" doc:"Folder for sockets and temporary files of this run; a private one is made in it. It cannot change while the server runs." source:"beside config and workers, so that a checkout runs as it is"`
	ControlSocket string        `conf:"control_socket" doc:"Unix socket by which reload, restart and status reach the server; empty means control.sock in runtime_folder. It cannot change while the server runs." source:"where all that belongs to a run is"`
	StartTimeout  time.Duration `conf:"start_timeout" doc:"Longest time all workers together may take to become ready, at the start and at a reload." source:"a third of systemd's DefaultTimeoutStartSec (90s)"`
	DrainTimeout  time.Duration `conf:"drain_timeout" doc:"Longest time running requests get to finish when the server stops, or when a reload has replaced what they run in; then they are cut off." source:"leaves room within systemd's DefaultTimeoutStopSec (90s)"`
	Watch         bool          `conf:"watch" doc:"Reload when the content of a configuration file or a worker.yaml changes, or a worker folder comes or goes." source:"a half-written file must not become a configuration by itself"`
}

// defaultServer: 30 s to drain is what systemd's default of 90 s to stop
// leaves room for.
func defaultServer() serverConfig {
	return serverConfig{RuntimeFolder: "run", StartTimeout: 30 * time.Second, DrainTimeout: 30 * time.Second}
}

// Validate checks the bounds: every wait has an end.
func (c *serverConfig) Validate() []settings.Problem {
	return settings.Positive(
		settings.Bound{Path: "start_timeout", Value: int64(c.StartTimeout)},
		settings.Bound{Path: "drain_timeout", Value: int64(c.DrainTimeout)},
	)
}

// controlSocket is the path of the control socket.
func (c *serverConfig) controlSocket() string {
	if c.ControlSocket != "" {
		return c.ControlSocket
	}
	return filepath.Join(c.RuntimeFolder, "control.sock")
}

// fixed says which settings differ from those of the running server that cannot
// change while it runs.
func (c *serverConfig) fixed(tree *conf.Tree, running serverConfig) error {
	var bad []settings.Problem
	refuse := func(name, now, then string) {
		if now != then {
			bad = append(bad, settings.Problem{Path: name, Message: fmt.Sprintf("cannot change while the server runs, which has %q; restart it, or put that back", then)})
		}
	}
	refuse("runtime_folder", c.RuntimeFolder, running.RuntimeFolder)
	refuse("control_socket", c.controlSocket(), running.controlSocket())
	return tree.Tell(serverSection.Key(), bad...)
}

// coreSections are the parts of the configuration that no module owns.
func coreSections() []conf.Spec {
	return []conf.Spec{serverSection, telemetry.Section, pluginsSection}
}

// settled is a configuration that was read and is in order, as far as can be
// seen without building anything from it.
type settled struct {
	tree   *conf.Tree
	on     []module.Descriptor
	server serverConfig
	log    telemetry.Config
	types  api.PluginTypes
	remote remote
}

// settle reads the configuration. With stale, the copy of a source that does not
// answer will do.
func settle(ctx context.Context, b Build, f configFlags, stale bool) (settled, error) {
	o, r, err := f.options(ctx, stale)
	if err != nil {
		return settled{}, err
	}
	tree, on, err := assemble(b, o, r)
	if err != nil {
		return settled{}, err
	}
	server, err := serverSection.Decode(tree)
	if err != nil {
		return settled{}, err
	}
	log, err := telemetry.Section.Decode(tree)
	if err != nil {
		return settled{}, err
	}
	types, err := pluginTypes(tree)
	if err != nil {
		return settled{}, err
	}
	return settled{tree, on, server, log, types, r}, nil
}

// findServer returns the server's own settings from a configuration that may be
// wrong elsewhere, for commands that talk to the running server.
func findServer(ctx context.Context, b Build, f configFlags) (serverConfig, error) {
	o, r, err := f.options(ctx, true)
	if err != nil {
		return serverConfig{}, fmt.Errorf("%w\n(--socket PATH names the server's control socket, and needs no configuration)", err)
	}
	tree, err := conf.Load(o)
	if err != nil {
		return serverConfig{}, err
	}
	config, err := serverSection.Decode(tree)
	if err != nil {
		if _, _, whole := assemble(b, o, r); whole != nil {
			err = whole
		}
		return serverConfig{}, err
	}
	return config, nil
}
