package api

import (
	"context"
	"errors"
	"time"

	"github.com/mevdschee/tqserver/sdk"
)

// Operator shows and steers the workers of a generation. The pages that people
// look at, the metrics and the control socket stand on it.
type Operator interface {
	// Names of all workers, in order.
	Names() []string
	// Status of one worker; full asks its plugin about its processes too, and
	// says in ProcessesUnread why that gave nothing. ErrNoWorker.
	Status(ctx context.Context, worker string, full bool) (WorkerStatus, error)
	// Restart starts the worker's processes anew beside the old ones, warms them
	// up, moves the requests over and ends the old ones. When it returns an
	// error the old ones serve on. ErrNoWorker.
	Restart(ctx context.Context, worker string) error
}

// ErrNoWorker says that no worker has the name.
var ErrNoWorker = errors.New("no worker has this name")

// Draining says whether the server has begun to stop: it takes no new requests,
// or will not for long.
type Draining func() bool

// WorkerState is where a worker stands.
type WorkerState string

// The states of a worker.
const (
	WorkerStarting WorkerState = "starting"
	WorkerReady    WorkerState = "ready"
	WorkerAtRest   WorkerState = "at rest"  // ondemand: nothing runs, the next request starts it
	WorkerDegraded WorkerState = "degraded" // it serves, but not as it should
	WorkerDown     WorkerState = "down"     // nothing serves; requests wait in the queue
	WorkerStopping WorkerState = "stopping"
)

// WorkerStatus is a snapshot of one worker.
type WorkerStatus struct {
	Worker, Type string
	// Manager is static, dynamic or ondemand.
	Manager string
	State   WorkerState
	// Reason says why it is degraded or down.
	Reason string
	// Outdated says why the worker goes on in an older version than that of its
	// folder; empty when it does not.
	Outdated string
	// Started is when the pool was made; restarts do not change it.
	Started time.Time
	// MaxWorkers is how many requests may run at once, QueueLength how many wait.
	MaxWorkers, QueueLength int

	// Active requests run, Idle connections wait for one; both hold a process.
	Active, Idle, ActiveMost int
	Queued, QueuedMost       int
	PoolCounters
	// PeakMemory is the most private memory seen of one process, in bytes.
	PeakMemory int64

	QueueWait, Duration Histogram

	Processes       []ProcessStatus
	ProcessesUnread string
}

// PoolCounters count requests since the pool was made; each request that was
// Accepted ends in exactly one of Done, Refused, Expired, Left, Aborted,
// TimedOut, Crashed and Failed.
type PoolCounters struct {
	Accepted uint64 // asked for a process
	Done     uint64 // answered by the worker, whatever the status
	Refused  uint64 // 503: the queue was full, or the worker was stopping
	Expired  uint64 // 503: queue.wait was over
	Left     uint64 // the client left while its request was in the queue
	Aborted  uint64 // the client left while its request ran
	TimedOut uint64 // 504
	Crashed  uint64 // 502: the process ended under the request
	Failed   uint64 // 502: no connection, or an answer that made no sense

	Slow         uint64 // ran longer than slow_log.threshold
	Replayed     uint64 // sent again, to another process, because the first had seen nothing of it
	LimitReached uint64 // how often all processes became busy and a request had to wait
	Restarts     uint64 // by hand or by a change of settings
	// Retired counts ended processes by reason: max_requests, max_age,
	// max_memory, idle, request_timeout, client_gone.
	Retired map[string]uint64
}

// Histogram counts observations, in seconds.
type Histogram struct {
	// Bounds are upper bounds in rising order; Counts has one more, for what is
	// above the last. Counts are not cumulative.
	Bounds []float64
	Counts []uint64
	Sum    float64
}

// ProcessStatus is a process with what the pool knows of it.
type ProcessStatus struct {
	sdk.Process
	// Running says that a request is on it now; else the fields below are those
	// of its last request.
	Running  bool
	Requests uint64
	// RequestStarted is when the request was given to the process, Duration how
	// long it has run or ran.
	RequestStarted            time.Time
	Duration                  time.Duration
	Method, URI, User, Script string
	ContentLength             int64
	LastRequestCPU            float64 // per cent of one processor, as PHP-FPM's page shows it
	LastRequestMemory         int64
}
