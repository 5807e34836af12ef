package admin

import (
	"maps"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mevdschee/tqserver/core/api"
)

// descs are our metrics. What counts requests is since the start of the
// worker's pool, see tqserver_worker_start_time_seconds.
type descs struct {
	build, ready, draining, loaded *prometheus.Desc

	info, state, start, up                              *prometheus.Desc
	active, queued, activeMost, queuedMost, processes   *prometheus.Desc
	maxWorkers, queueLength, peakMemory                 *prometheus.Desc
	accepted, finished, slow, replayed, limit, restarts *prometheus.Desc
	retired, queueWait, duration                        *prometheus.Desc
}

func newDescs() descs {
	server := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("tqserver_"+name, help, labels, nil)
	}
	worker := func(name, help string, labels ...string) *prometheus.Desc {
		return server("worker_"+name, help, append([]string{"worker"}, labels...)...)
	}
	return descs{
		build:    server("build_info", "The server's version; always 1.", "version", "goversion"),
		ready:    server("ready", "Whether requests should come here, as /readyz says."),
		draining: server("draining", "Whether the server has begun to stop."),
		loaded:   server("config_last_load_timestamp_seconds", "When the configuration that serves was loaded, in seconds since 1970."),

		info:        worker("info", "What the worker is; always 1.", "type", "manager"),
		up:          worker("up", "Whether the worker's status could be told; without it its other metrics are missing."),
		state:       worker("state", "Whether the worker is in the state: starting, ready, at rest, degraded, down, stopping.", "state"),
		start:       worker("start_time_seconds", "When the worker's pool was made, in seconds since 1970; its counters begin there."),
		active:      worker("requests_active", "Requests that run."),
		queued:      worker("requests_queued", "Requests that wait in the queue."),
		activeMost:  worker("requests_active_peak", "Most requests that ever ran at once."),
		queuedMost:  worker("requests_queued_peak", "Most requests that ever waited at once."),
		processes:   worker("processes", "Processes in use: active ones run a request, idle ones wait for the next.", "state"),
		maxWorkers:  worker("max_workers", "Requests that may run at once."),
		queueLength: worker("queue_length", "Requests that may wait at once."),
		peakMemory:  worker("process_memory_peak_bytes", "Most private memory seen of one process."),
		accepted:    worker("requests_accepted_total", "Requests that asked for a process."),
		finished: worker("requests_total", "Requests that came to an end: done (answered by the worker), refused (503, queue full), expired (503, waited too long), "+
			"left (client gone while it waited), aborted (client gone while it ran), timed_out (504), crashed (502, process ended), failed (502, no usable answer).", "outcome"),
		slow:      worker("requests_slow_total", "Requests that ran longer than slow_log.threshold."),
		replayed:  worker("requests_replayed_total", "Requests given to a second process because the first had seen nothing of them."),
		limit:     worker("limit_reached_total", "How often all processes became busy and a request had to wait."),
		restarts:  worker("restarts_total", "Restarts of the worker, by hand or by a change of settings."),
		retired:   worker("processes_retired_total", "Processes ended by the pool, by reason.", "reason"),
		queueWait: worker("queue_wait_seconds", "How long requests waited for a process."),
		duration:  worker("request_duration_seconds", "How long requests ran, without the wait."),
	}
}

func (d *descs) all() []*prometheus.Desc {
	return []*prometheus.Desc{
		d.build, d.ready, d.draining, d.loaded, d.info, d.up, d.state, d.start, d.active, d.queued, d.activeMost, d.queuedMost, d.processes,
		d.maxWorkers, d.queueLength, d.peakMemory, d.accepted, d.finished, d.slow, d.replayed, d.limit, d.restarts, d.retired, d.queueWait, d.duration,
	}
}

// states are all that tqserver_worker_state tells, so that none is missing.
func states() []api.WorkerState {
	return []api.WorkerState{api.WorkerStarting, api.WorkerReady, api.WorkerAtRest, api.WorkerDegraded, api.WorkerDown, api.WorkerStopping}
}

// retired returns the counts of all known reasons, also those still at 0: a
// counter that begins at 1 has no increase.
func retired(counts map[string]uint64) map[string]uint64 {
	all := map[string]uint64{"max_requests": 0, "max_age": 0, "max_memory": 0, "idle": 0, "request_timeout": 0, "client_gone": 0}
	maps.Copy(all, counts)
	return all
}

// worker sends the metrics of one worker.
func (c *collector) worker(send sender, s *snapshot) {
	d, name := &c.descs, strings.ToValidUTF8(s.Worker, "\uFFFD")
	send.gauge(d.up, flag(s.Err == nil), name)
	if s.Err != nil {
		return
	}
	send.gauge(d.info, 1, name, s.Type, s.Manager)
	for _, state := range states() {
		send.gauge(d.state, flag(s.State == state), name, string(state))
	}
	send.gauge(d.start, seconds(s.Started), name)
	send.gauge(d.active, float64(s.Active), name)
	send.gauge(d.queued, float64(s.Queued), name)
	send.gauge(d.activeMost, float64(s.ActiveMost), name)
	send.gauge(d.queuedMost, float64(s.QueuedMost), name)
	send.gauge(d.processes, float64(s.Active), name, "active")
	send.gauge(d.processes, float64(s.Idle), name, "idle")
	send.gauge(d.maxWorkers, float64(s.MaxWorkers), name)
	send.gauge(d.queueLength, float64(s.QueueLength), name)
	send.gauge(d.peakMemory, float64(s.PeakMemory), name)
	send.counter(d.accepted, s.Accepted, name)
	for _, o := range outcomes(&s.PoolCounters) {
		send.counter(d.finished, o.Count, name, o.Name)
	}
	send.counter(d.slow, s.Slow, name)
	send.counter(d.replayed, s.Replayed, name)
	send.counter(d.limit, s.LimitReached, name)
	send.counter(d.restarts, s.Restarts, name)
	for reason, count := range retired(s.Retired) {
		send.counter(d.retired, count, name, reason)
	}
	send.histogram(d.queueWait, &s.QueueWait, name)
	send.histogram(d.duration, &s.Duration, name)
}
