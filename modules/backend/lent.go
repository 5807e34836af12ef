package backend

import (
	"slices"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
)

// lentSet is one api.EndpointSet with what the pool has open to it.
type lentSet struct {
	api.EndpointSet
	used  []int       // open or being dialled, by endpoint
	idle  []*poolConn // the one used last is at the end
	total int
}

// leastUsed is the endpoint with room that has the fewest connections, -1 when
// all are full. Plugins lend few endpoints: PHP's lends one.
func (s *lentSet) leastUsed() int {
	best := -1
	for i, e := range s.Endpoints {
		if s.used[i] < e.MaxConcurrent && (best < 0 || s.used[i] < s.used[best]) {
			best = i
		}
	}
	return best
}

// same says whether these are the endpoints the pool knows.
func (s *lentSet) same(endpoints []sdk.Endpoint) bool {
	return slices.EqualFunc(s.Endpoints, endpoints, sameEndpoint)
}

func sameEndpoint(a, b sdk.Endpoint) bool {
	return a.ID == b.ID && a.Network == b.Network && a.Address == b.Address && a.MaxConcurrent == b.MaxConcurrent && a.Protocol == b.Protocol &&
		a.Trailers == b.Trailers
}

// carry moves what is open to endpoints that are lent on to their new set, so
// that a set that has one endpoint more or less disturbs no other. Callers hold
// mu, and have not made it the newest yet.
func (p *pool) carry(old, set *lentSet) {
	to := make([]int, len(old.Endpoints))
	for i, e := range old.Endpoints {
		to[i] = slices.IndexFunc(set.Endpoints, func(other sdk.Endpoint) bool { return sameEndpoint(e, other) })
	}
	move := func(c *poolConn) bool {
		if c.set != old || to[c.endpoint] < 0 {
			return false
		}
		old.used[c.endpoint]--
		old.total--
		c.set, c.endpoint = set, to[c.endpoint]
		set.used[c.endpoint]++
		set.total++
		return true
	}
	for _, c := range p.busy {
		move(c)
	}
	old.idle = slices.DeleteFunc(old.idle, func(c *poolConn) bool {
		moved := move(c)
		if moved {
			set.idle = append(set.idle, c)
		}
		return moved
	})
}

// giveBack counts a connection out. It returns what must be called without
// the lock: the set's Release when that was the last one of an old set.
// Callers hold mu.
func (p *pool) giveBack(s *lentSet, at int) func() {
	s.used[at]--
	s.total--
	p.open--
	p.checkDrained()
	if s.total == 0 && s != p.set {
		return s.Release
	}
	return func() {}
}

// grantFree hands what is free to those who wait. Callers hold mu.
func (p *pool) grantFree() {
	for p.waiters.Len() > 0 {
		g, ok := p.free()
		if !ok {
			return
		}
		p.hand(p.first(), g)
	}
}

// ready makes set the one that new requests go to. Connections of the one
// before finish what they carry; its idle ones close. A set that names the very
// endpoints of the one before changes nothing: its plugin is well again.
func (p *pool) ready(set api.EndpointSet) {
	p.mu.Lock()
	if p.set != nil && p.set.same(set.Endpoints) {
		before := p.set.Release
		p.set.EndpointSet, p.ailing = set, ""
		p.mu.Unlock()
		before()
		return
	}
	after := p.swap(&lentSet{EndpointSet: set, used: make([]int, len(set.Endpoints))}, "")
	p.mu.Unlock()
	after()
}

// lost says that nothing is lent any more; requests wait for the next ready.
func (p *pool) lost(reason string) {
	p.mu.Lock()
	after := p.swap(nil, reason)
	p.mu.Unlock()
	after()
}

// swap makes set the newest and returns what is to be done without the lock.
// Callers hold mu.
func (p *pool) swap(set *lentSet, down string) (after func()) {
	old := p.set
	if old != nil && set != nil && old.Processes == set.Processes {
		p.carry(old, set)
	}
	p.set, p.down = set, down
	if set != nil {
		p.resting, p.ailing = false, ""
	}
	var idle, upgraded []*poolConn
	releases := make([]func(), 0, 1)
	if old != nil {
		idle, old.idle = old.idle, nil
		upgraded = p.goodbye(old)
		if old.total == 0 {
			releases = append(releases, old.Release)
		}
		for _, c := range idle {
			releases = append(releases, p.giveBack(old, c.endpoint))
		}
	}
	p.grantFree()
	return func() {
		for _, c := range idle {
			_ = c.Close()
		}
		for _, c := range upgraded {
			leave(c)
		}
		for _, release := range releases {
			release()
		}
		if set != nil {
			p.prepare(set)
		}
	}
}
