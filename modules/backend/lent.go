package backend

import "github.com/mevdschee/tqserver/core/api"

// lentSet is one api.EndpointSet with what the pool has open to it.
type lentSet struct {
	api.EndpointSet
	used  []int       // open or being dialled, by endpoint
	idle  []*poolConn // the one used last is at the end
	total int
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
		w, _ := p.waiters.Remove(p.waiters.Front()).(*waiter)
		w.grant <- g
	}
}

// ready makes set the one that new requests go to. Connections of the one
// before finish what they carry; its idle ones close.
func (p *pool) ready(set api.EndpointSet) {
	p.replace(&lentSet{EndpointSet: set, used: make([]int, len(set.Endpoints))}, "")
}

// lost says that nothing is lent any more; requests wait for the next ready.
func (p *pool) lost(reason string) { p.replace(nil, reason) }

func (p *pool) replace(set *lentSet, down string) {
	p.mu.Lock()
	old := p.set
	p.set, p.down = set, down
	var idle []*poolConn
	releases := make([]func(), 0, 1)
	if old != nil {
		idle, old.idle = old.idle, nil
		if old.total == 0 {
			releases = append(releases, old.Release)
		}
		for _, c := range idle {
			releases = append(releases, p.giveBack(old, c.endpoint))
		}
	}
	p.grantFree()
	p.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
	for _, release := range releases {
		release()
	}
}
