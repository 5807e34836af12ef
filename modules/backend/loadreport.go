package backend

import (
	"context"
	"errors"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
)

// loadEvery is the shortest time between two reports to a plugin.
const loadEvery = 100 * time.Millisecond

// loadReport is what a plugin was told of how busy its worker is.
type loadReport struct {
	to      api.Processes // whom; a new one is told anew
	sent    sdk.Load
	at      time.Time
	sending bool
	pending bool // there is something to tell
	deaf    bool // it does not want to know
}

// load is how busy the pool is. Callers hold mu.
func (p *pool) load() sdk.Load {
	l := sdk.Load{Active: len(p.busy), Queued: p.waiters.Len()}
	if p.set != nil {
		l.Idle = len(p.set.idle)
	}
	return l
}

// reportLoad tells the plugin when the load has changed. Callers hold mu.
func (p *pool) reportLoad(now time.Time) {
	r := &p.watch.load
	r.pending = false
	if p.set == nil || p.set.Processes == nil {
		return
	}
	if r.to != p.set.Processes {
		*r = loadReport{to: p.set.Processes, sending: r.sending}
	}
	load := p.load()
	if r.deaf || load == r.sent {
		return
	}
	r.pending = true
	if r.sending || now.Sub(r.at) < loadEvery {
		return
	}
	r.sending, r.sent, r.at = true, load, now
	to := r.to
	go func() { // bounded by inspectWait
		ctx, cancel := context.WithTimeout(context.Background(), inspectWait)
		defer cancel()
		err := to.Load(ctx, load)
		p.mu.Lock()
		defer p.mu.Unlock()
		r.sending = false
		if errors.Is(err, errors.ErrUnsupported) && r.to == to {
			r.deaf, r.pending = true, false
		}
	}()
}
