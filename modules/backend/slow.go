package backend

import (
	"context"
	"log/slog"
	"time"

	"github.com/mevdschee/tqserver/sdk"
)

const (
	// slowAtOnce bounds how many requests are asked about together.
	slowAtOnce = 16
	// inspectWait bounds one question to the plugin.
	inspectWait = 2 * time.Second
)

// slowRequest is one that has run for longer than slow_log.threshold.
type slowRequest struct {
	conn *poolConn
	call *call
	log  []slog.Attr
}

// tellSlow has the requests logged, each once; those that find the log busy are
// told at the next tick. Callers hold mu.
func (p *pool) tellSlow(conns []*poolConn) {
	if len(conns) == 0 || p.watch.telling {
		return
	}
	list := make([]slowRequest, 0, min(len(conns), slowAtOnce))
	for _, c := range conns[:min(len(conns), slowAtOnce)] {
		c.call.slow = true
		p.stats.slow++
		list = append(list, slowRequest{c, c.call, c.call.facts()})
	}
	p.watch.telling = true
	go func() { // each question has a bound
		for _, s := range list {
			p.logSlow(s)
		}
		p.mu.Lock()
		p.watch.telling = false
		p.mu.Unlock()
	}()
}

func (p *pool) logSlow(s slowRequest) {
	ctx, cancel := context.WithTimeout(context.Background(), inspectWait)
	defer cancel()
	attrs := s.log
	processes, err := s.conn.inspect(ctx, true)
	p.mu.Lock()
	still := s.conn.place >= 0 && s.conn.call == s.call
	p.mu.Unlock()
	switch {
	case err != nil || len(processes) == 0:
	case !still:
		attrs = append(attrs, slog.Int("pid", processes[0].PID), slog.String("stack_unread", "the request had ended by then"))
	default:
		attrs = append(attrs, processFacts(processes[0])...)
	}
	p.log.LogAttrs(ctx, slog.LevelWarn, "the request runs longer than pool.slow_log.threshold", attrs...)
}

// processFacts is what the log says of a process.
func processFacts(p sdk.Process) []slog.Attr {
	if p.PID == 0 {
		return nil
	}
	attrs := []slog.Attr{slog.Int("pid", p.PID), slog.Int64("memory", p.Memory), slog.Duration("cpu", p.CPU)}
	if len(p.Stack) > 0 {
		attrs = append(attrs, slog.Any("stack", p.Stack))
	}
	if p.Unread != "" {
		attrs = append(attrs, slog.String("stack_unread", p.Unread))
	}
	return attrs
}
