package app

import (
	"time"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/telemetry"
)

// serverSection is the server's own part of the configuration, always on.
var serverSection = conf.NewSection("server", defaultServer)

// serverConfig bounds the life of a generation.
type serverConfig struct {
	RuntimeFolder string        `conf:"runtime_folder" doc:"Folder for sockets and temporary files of this run; a private one is made in it." source:"beside config and workers, so that a checkout runs as it is"`
	StartTimeout  time.Duration `conf:"start_timeout" doc:"Longest time all workers together may take to become ready." source:"a third of systemd's DefaultTimeoutStartSec (90s)"`
	DrainTimeout  time.Duration `conf:"drain_timeout" doc:"Longest time running requests get to finish when the server stops; then they are cut off." source:"leaves room within systemd's DefaultTimeoutStopSec (90s)"`
}

// defaultServer: 30 s to drain is what systemd's default of 90 s to stop
// leaves room for.
func defaultServer() serverConfig {
	return serverConfig{RuntimeFolder: "run", StartTimeout: 30 * time.Second, DrainTimeout: 30 * time.Second}
}

// coreSections are the parts of the configuration that no module owns.
func coreSections() []conf.Spec {
	return []conf.Spec{serverSection, telemetry.Section}
}
