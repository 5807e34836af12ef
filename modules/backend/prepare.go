package backend

import (
	"context"

	"github.com/mevdschee/tqserver/sdk"
)

// prepare opens start_workers connections to a set just lent. A connection
// without a request is closed by php-cgi after 5 s unless it was asked for its
// values (main/fastcgi.c); so it is, and keeps its process at hand. Behind HTTP
// nothing waits to be kept.
func (p *pool) prepare(set *lentSet) {
	if p.config.Manager == managerOndemand || p.config.StartWorkers == 0 {
		return
	}
	go func() { // pool.stop waits for each connection, dialTimeout bounds it
		for p.prepareOne(set) {
		}
	}()
}

func (p *pool) prepareOne(set *lentSet) (more bool) {
	p.mu.Lock()
	at := set.leastUsed()
	if p.set != set || p.stopped || set.total >= p.config.StartWorkers || at < 0 || set.Endpoints[at].Protocol == sdk.HTTP {
		p.mu.Unlock()
		return false
	}
	p.reserve(set, at)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	c, err := p.connect(ctx, grant{set: set, at: at})
	if err != nil {
		p.giveUp(set, at)
		return false
	}
	_, err = c.fcgi.GetValues(ctx)
	p.mu.Lock()
	if err == nil && p.set == set && !p.stopped {
		p.idle(c)
		p.arm(tickSlow)
		p.mu.Unlock()
		return true
	}
	release := p.closing(c)
	p.mu.Unlock()
	_ = c.Close()
	release()
	return false
}
