package sdk

import (
	"context"
	"encoding/json"
	"time"
)

// Plugin is a backend: it runs one worker in a process of its own. The host
// calls Describe, then Check, then Run once; Release and Stop come while Run
// is running. Methods are called from several goroutines.
type Plugin interface {
	// Describe says what the plugin is. It must not have side effects.
	Describe() Description
	// Check returns every problem of the settings at once, and starts nothing.
	Check(ctx context.Context, w Worker) []Problem
	// Run starts the backend and reports its states until ctx ends or Stop is
	// called. It returns when everything it started has ended.
	Run(ctx context.Context, w Worker, report func(State)) error
	// Release says that the pool uses the endpoints no more: what serves them
	// can be ended. Unknown IDs are ignored.
	Release(endpointIDs []string)
	// Stop asks Run to finish what runs, end its children and return, all
	// before ctx ends; after that the host kills what is left.
	Stop(ctx context.Context)
}

// Description is what a plugin says of itself.
type Description struct {
	Name    string
	Version string
	Summary string
	// SettingsSchema is the JSON Schema of the worker's settings for this
	// plugin, nil when there are none.
	SettingsSchema json.RawMessage
	// Features names optional abilities; unknown ones are ignored.
	Features []string
}

// Worker is the application a plugin process runs.
type Worker struct {
	// Name of the worker: its folder's name.
	Name string
	// Folder of the worker, absolute. Relative paths in Settings start here.
	Folder string
	// DocumentRoot is absolute, as configured (symlinks not resolved); empty
	// when the worker has none.
	DocumentRoot string
	// RuntimeFolder is private to this worker (0700) and removed by the host:
	// sockets and generated files live there.
	RuntimeFolder string
	// MaxWorkers is how many requests the pool will send at once.
	MaxWorkers int
	// Settings is the section of worker.yaml under the plugin's name as JSON,
	// without `pool`, which is the host's.
	Settings json.RawMessage
}

// Problem is one thing wrong with the settings.
type Problem struct {
	// Path of the setting below the plugin's section: "admin_settings.memory_limit".
	Path string
	// Message says what is wrong and what to do, in lower case, without a period.
	Message string
}

// StateKind is where the life of a backend stands.
type StateKind int

// The states a running plugin reports.
const (
	// Starting: endpoints will follow. May already name process groups.
	Starting StateKind = iota + 1
	// Ready lends endpoints; they replace those of the Ready before, which the
	// host drains and then releases.
	Ready
	// Degraded: it serves, but not as it should; Reason says why.
	Degraded
	// Failed: it cannot serve; Reason says why and what to do.
	Failed
)

// State is one report of a running plugin.
type State struct {
	Kind      StateKind
	Reason    string
	Endpoints []Endpoint
	// ProcessGroups lists every process group that is alive for this worker,
	// the plugin's own left out, so that the host can end them when the plugin
	// cannot. It replaces the list of the state before.
	ProcessGroups []int
}

// Endpoint is a socket a plugin lends to the pool.
type Endpoint struct {
	// ID is unique in the life of the plugin process.
	ID string
	// Network is "unix" or "tcp", Address what net.Dial takes for it.
	Network, Address string
	// MaxConcurrent is how many connections, and so requests, it serves at
	// once; at least 1.
	MaxConcurrent int
	// ProcessGroups are the groups that serve this endpoint; after a plugin's
	// death they are ended when the endpoint is drained.
	ProcessGroups []int
}

// StopGrace is what the host leaves a plugin between the end of Stop's
// deadline and the first signal.
const StopGrace = time.Second
