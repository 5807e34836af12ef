package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// PluginSpec says which executable runs a worker, and with what.
type PluginSpec struct {
	// Type is the worker's type, for messages: "php", "go".
	Type string
	// Command is the executable (absolute) and its arguments.
	Command []string
	Worker  string
	Folder  string
	// DocumentRoot is absolute, or empty.
	DocumentRoot string
	MaxWorkers   int
	Settings     json.RawMessage
	// Env is added to the plugin's environment, "NAME=value" each.
	Env []string
	// SHA256 of the executable, in hexadecimal digits, is checked before every
	// start; empty means that it is not.
	SHA256 string
	// User and Group the backend's processes run as; empty means the server's
	// own. The runtime folder of the worker is given to them.
	User, Group string
	// Limits and Cgroup bound the processes that run the application.
	Limits process.Limits
	Cgroup CgroupLimits
}

// PluginEnvProblem says why a variable cannot be in the environment of a plugin; empty
// means that it can. Names of the plugin protocol are not for others.
func PluginEnvProblem(name, value string) string {
	switch {
	case !settings.EnvName(name), strings.HasPrefix(name, "PLUGIN_"), strings.HasPrefix(name, "TQSERVER_"):
		return "is not a name for the environment of a plugin: letters, digits and _, not beginning with PLUGIN_ or TQSERVER_"
	case strings.ContainsRune(value, 0):
		return "holds a NUL byte"
	}
	return ""
}

// PluginType is a type of worker that the configuration adds: an executable that
// speaks the plugin protocol.
type PluginType struct {
	Name string
	// Command is the executable, absolute, and its arguments; Env and SHA256 are
	// those of PluginSpec.
	Command []string
	Env     []string
	SHA256  string
}

// PluginTypes are all of them.
type PluginTypes []PluginType

// CgroupLimits are limits of a control group (cgroup v2) that holds all
// processes of a worker. Zero is none.
type CgroupLimits struct {
	// Memory in bytes (memory.max).
	Memory int64
	// CPU in thousandths of one processor (cpu.max): 1500 is one and a half.
	CPU int
	// Processes at most (pids.max).
	Processes int
}

// Any says whether there is a limit.
func (c CgroupLimits) Any() bool { return c != CgroupLimits{} }

// Processes asks a plugin about the processes that serve what it lent. An error
// is ErrPluginGone when the plugin has died (its processes may serve on),
// errors.ErrUnsupported when it does not offer this, sdk.ErrNoProcess, or ctx's.
type Processes interface {
	Retire(ctx context.Context, r sdk.Retirement) (sdk.Process, error)
	Inspect(ctx context.Context, i sdk.Inspection) ([]sdk.Process, error)
	Load(ctx context.Context, l sdk.Load) error
}

// ErrPluginGone says that the plugin process that would have to answer has died.
var ErrPluginGone = errors.New("the plugin process is gone")

// EndpointSet is what a plugin process lends at one time. The pool sends new
// requests to the newest set it was given.
type EndpointSet struct {
	Endpoints []sdk.Endpoint
	Processes Processes
	// Release is called once, when no connection to these endpoints is left
	// and a newer set has taken over. It never blocks.
	Release func()
}

// PluginEvents is what the host tells the owner of a plugin. Calls come one
// at a time and must not block.
type PluginEvents struct {
	// Ready: a newer set of endpoints replaces the one before.
	Ready func(EndpointSet)
	// Down: no endpoint is left for the reason given; requests wait in their
	// queue until the next Ready.
	Down func(reason string)
	// Degraded: it serves, but not as it should. The next Ready, perhaps of the
	// same endpoints, says that it is well again, and so does an empty reason. May
	// be nil.
	Degraded func(reason string)
}

// Plugins starts plugin processes and keeps them running. It lives as long as
// the server.
type Plugins interface {
	// Check starts the plugin, asks it to check the settings, and ends it. The
	// error says that it could not be asked.
	Check(ctx context.Context, spec PluginSpec) ([]sdk.Problem, error)
	// Start runs the plugin and restarts it with back-off when it dies. It
	// returns after the first Ready, with a *SettingsError, or with the reason why there was none
	// before ctx ended.
	Start(ctx context.Context, spec PluginSpec, events PluginEvents) (Plugin, error)
}

// Plugin is one supervised plugin.
type Plugin interface {
	// Stop ends the plugin and everything it started: it finishes what runs
	// until ctx ends, then kills. It may be called twice.
	Stop(ctx context.Context) error
	// Metrics asks for the plugin's own metrics, in Prometheus's text format.
	// The error is errors.ErrUnsupported when it has none, ErrPluginGone while no
	// process of it runs, or ctx's.
	Metrics(ctx context.Context) ([]byte, error)
	// State says how the plugin is doing.
	State() PluginState
}

// PluginState is a snapshot of a supervised plugin.
type PluginState struct {
	// State is starting, ready, degraded, down or stopping.
	State WorkerState
	// Reason says why it is degraded or down, or what it is waiting for.
	Reason string
	// Since is when State or Reason last changed.
	Since time.Time
	// About is what the plugin said of itself, zero before its first start.
	About sdk.Description
	// PID of the plugin's process, 0 while none runs.
	PID int
	// Restarts counts the processes that were started because one had ended.
	Restarts int
	// Output is what the process that ended last had printed last, five lines at
	// most; lines of its log are not among them.
	Output []string
}

// WorkerMetrics returns the metrics of all workers whose plugins have some, by
// the workers' names; the error names those that could not be asked.
type WorkerMetrics func(ctx context.Context) (map[string][]byte, error)

// SettingsError says that the plugin refused the worker's settings.
type SettingsError struct{ Problems []sdk.Problem }

// Error lists the problems.
func (e *SettingsError) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		lines = append(lines, p.Path+": "+p.Message)
	}
	return strings.Join(lines, "\n")
}
