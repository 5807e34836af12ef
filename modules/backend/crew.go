package backend

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/mevdschee/tqserver/core/api"
)

// crew is one plugin of a site and what it has lent. A site has one crew that
// serves, for a while beside one that is to take over or one that leaves.
type crew struct {
	site   *site
	plugin api.Plugin

	lent   atomic.Int64  // sets not released yet
	change chan struct{} // says that lent fell

	mu      sync.Mutex
	serves  bool
	left    bool             // what is lent from now on is not used
	pending *api.EndpointSet // lent before it serves
}

// ready implements api.PluginEvents.
func (c *crew) ready(set api.EndpointSet) {
	c.lent.Add(1)
	release := set.Release
	set.Release = func() {
		release()
		c.lent.Add(-1)
		select {
		case c.change <- struct{}{}:
		default:
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serves {
		c.site.pool.ready(set)
		return
	}
	if c.left { // a plugin that died was replaced while requests end on what it had lent
		set.Release()
		return
	}
	if c.pending != nil {
		c.pending.Release()
	}
	c.pending = &set
}

// down implements api.PluginEvents.
func (c *crew) down(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serves {
		c.site.log.Warn("no process serves the worker; requests wait", "reason", reason)
		c.site.pool.lost(reason)
		return
	}
	c.drop()
}

// degraded implements api.PluginEvents.
func (c *crew) degraded(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serves {
		c.site.pool.ail(reason)
	}
}

// drop forgets what is not used yet. Callers hold mu.
func (c *crew) drop() {
	if c.pending != nil {
		c.pending.Release()
		c.pending = nil
	}
}

// set is what is lent and not used yet; false when there is nothing.
func (c *crew) set() (api.EndpointSet, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		return api.EndpointSet{}, false
	}
	return *c.pending, true
}

// serve has the pool send its requests here from now on.
func (c *crew) serve() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serves = true
	c.site.serving.Store(c)
	if c.pending != nil {
		c.site.pool.ready(*c.pending)
		c.pending = nil
	}
}

// leave stops what happens to a crew from concerning the pool.
func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serves, c.left = false, true
	c.site.serving.CompareAndSwap(c, nil)
	c.drop()
}

// end waits, until ctx ends, for the last request to leave, and stops the plugin.
func (c *crew) end(ctx context.Context) error {
	for c.lent.Load() > 0 && ctx.Err() == nil {
		select {
		case <-c.change:
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil {
		return c.plugin.Stop(ctx)
	}
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
	defer cancel()
	return c.plugin.Stop(short)
}
