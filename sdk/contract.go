package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/mevdschee/tqserver/sdk/process"
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

// Retirer is a Plugin whose requests are served by processes that can be ended
// one by one. Without it the pool closes a connection that is to be retired.
type Retirer interface {
	// Retire ends the process at the other end of a connection that the host
	// still holds, and returns once it was told to die; the host then waits for
	// the end of file. It says what the process was. ErrNoProcess: nobody of
	// this plugin's serves that connection.
	Retire(ctx context.Context, r Retirement) (Process, error)
}

// Inspector is a Plugin that can tell about its processes.
type Inspector interface {
	// Inspect tells about the processes at the other end of the connections
	// named, in any order, those left out that nobody serves; about all
	// processes of the worker when none is named.
	Inspect(ctx context.Context, i Inspection) ([]Process, error)
}

// LoadObserver is a Plugin that scales on how busy its worker is.
type LoadObserver interface {
	// Load is told when it has changed, at most every 100 ms.
	Load(Load)
}

// Meter is a Plugin with metrics of its own.
type Meter interface {
	// Metrics returns them in Prometheus's text exposition format (version
	// 0.0.4), at most 3 MiB. The host adds the label worker.
	Metrics(ctx context.Context) ([]byte, error)
}

// ErrNoProcess says that no process serves the connection.
var ErrNoProcess = errors.New("no process of this worker serves the connection")

// Connection names a connection of the pool to an endpoint: the inode number of
// the host's socket, which is in the same network namespace (fstat(2); what
// sock_diag(7) and /proc/PID/fd call it). 0 is none.
type Connection uint64

// Retirement asks for the end of one process.
type Retirement struct {
	Connection Connection
	// Reason is for the log: "max_requests", "request_timeout".
	Reason string
	// Busy says that a request runs there: the process is ended all the same,
	// and Process tells what it was doing.
	Busy bool
}

// Inspection asks about processes.
type Inspection struct {
	Connections []Connection
	// Stack asks for the stacks of the applications as well.
	Stack bool
}

// Process is one process of a worker, as far as the plugin knows it; what it
// does not know is zero.
type Process struct {
	PID        int
	Connection Connection // it serves; 0 when it serves none
	Started    time.Time
	// Memory is what it has for itself, PeakMemory the most it had resident,
	// in bytes.
	Memory, PeakMemory int64
	CPU                time.Duration
	// Stack is the application's, innermost call first: "fn() /path/file.php:12".
	Stack []string
	// Unread says why there is no stack, or not all of it.
	Unread string
}

// Load is how busy a worker is: requests on their way through its processes,
// connections kept without one, requests in the queue.
type Load struct{ Active, Idle, Queued int }

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

// FeatureLimits in Description.Features says that the plugin itself puts
// Worker.Limits on the processes it starts; without it the host puts them on
// the plugin's process.
const FeatureLimits = "limits"

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
	// Limits are for the processes that run the application.
	Limits process.Limits
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
	// host drains and then releases. The same ones again, after Degraded, say
	// that all is well.
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
	// Protocol spoken there; empty is FastCGI.
	Protocol Protocol
	// Trailers says that a FastCGI endpoint takes the trailers of requests, as a
	// record of type 128 before the end of STDIN.
	Trailers bool
	// ProcessGroups are the groups that serve this endpoint; after a plugin's
	// death they are ended when the endpoint is drained.
	ProcessGroups []int
}

// Protocol is what an endpoint speaks.
type Protocol string

// The protocols of endpoints.
const (
	FastCGI Protocol = "fastcgi"
	HTTP    Protocol = "http" // HTTP/1.1
)

// StopGrace is what the host leaves a plugin between the end of Stop's
// deadline and the first signal.
const StopGrace = time.Second
