package backend

import (
	"context"
	"maps"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
)

// status is a snapshot of the pool; of the processes it knows only connections.
func (p *pool) status() api.WorkerStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := api.WorkerStatus{
		Worker: p.name, Manager: p.config.Manager, Started: p.stats.began,
		MaxWorkers: p.config.MaxWorkers, QueueLength: p.config.Queue.Length,
		Active: len(p.busy) + p.held, ActiveMost: p.stats.activeMost,
		Queued: p.waiters.Len(), QueuedMost: p.stats.queuedMost,
		PoolCounters: p.stats.counters(),
		PeakMemory:   p.stats.peakMemory,
		QueueWait:    p.stats.queueWait.snapshot(), Duration: p.stats.duration.snapshot(),
	}
	s.State, s.Reason = p.state()
	now := time.Now()
	for _, c := range p.busy {
		process := api.ProcessStatus{Process: sdk.Process{Connection: c.inode}, Running: true, Requests: uint64(c.requests)}
		briefOf(c.call, now.Sub(c.call.started)).status(&process)
		s.Processes = append(s.Processes, process)
	}
	if p.set != nil {
		s.Idle = len(p.set.idle)
		for _, c := range p.set.idle {
			process := api.ProcessStatus{Process: sdk.Process{Connection: c.inode}, Requests: uint64(c.requests)}
			c.brief.status(&process)
			s.Processes = append(s.Processes, process)
		}
	}
	return s
}

// state says where the pool stands. Callers hold mu.
func (p *pool) state() (api.WorkerState, string) {
	trouble := p.crash.trouble()
	switch {
	case p.stopped:
		return api.WorkerStopping, ""
	case p.resting && p.wake != nil:
		reason := p.down
		if reason == reasonRest {
			reason = ""
		}
		return api.WorkerAtRest, reason
	case p.set == nil && p.stats.accepted == 0 && p.down == reasonNew, p.set == nil && p.down == reasonWaking:
		return api.WorkerStarting, p.down
	case p.set == nil:
		return api.WorkerDown, p.down
	case trouble != "":
		return api.WorkerDegraded, trouble
	case p.ailing != "":
		return api.WorkerDegraded, p.ailing
	}
	return api.WorkerReady, ""
}

// counters are those of the contract. Callers hold mu.
func (s *stats) counters() api.PoolCounters {
	n := func(o outcome) uint64 { return s.ended[o].Load() }
	return api.PoolCounters{
		Accepted: s.accepted, Done: n(outcomeDone), Refused: n(outcomeRefused), Expired: n(outcomeExpired),
		Left: n(outcomeLeft), Aborted: n(outcomeAborted), TimedOut: n(outcomeTimedOut), Crashed: n(outcomeCrashed),
		Failed: n(outcomeFailed), Slow: s.slow, Replayed: s.replayed.Load(), LimitReached: s.limit, Restarts: s.restarts,
		Retired: maps.Clone(s.retired),
	}
}

// inspect asks the plugin about the processes behind the connections of s.
func (p *pool) inspect(ctx context.Context, s *api.WorkerStatus) error {
	p.mu.Lock()
	var of api.Processes
	if p.set != nil {
		of = p.set.Processes
	}
	p.mu.Unlock()
	if of == nil || len(s.Processes) == 0 {
		return nil
	}
	question := sdk.Inspection{}
	at := map[sdk.Connection]*api.ProcessStatus{}
	for i := range s.Processes {
		known := &s.Processes[i]
		question.Connections = append(question.Connections, known.Connection)
		at[known.Connection] = known
	}
	processes, err := of.Inspect(ctx, question)
	if err != nil {
		return err
	}
	for _, process := range processes {
		if known := at[process.Connection]; known != nil {
			known.Process = process
			if !known.Running {
				known.LastRequestMemory = process.Memory
			}
			s.PeakMemory = max(s.PeakMemory, process.Memory)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.peakMemory = max(p.stats.peakMemory, s.PeakMemory)
	p.look(at)
	return nil
}

// ail notes that the plugin says it serves, but not as it should; empty: it is
// well again.
func (p *pool) ail(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ailing = reason
}

// restarted counts a restart.
func (p *pool) restarted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.restarts++
}
