package fastcgi

import (
	"context"
	"sync"
	"time"
)

// requestContext is the context of a request, part of it so that it costs no
// allocation. It has AfterFunc, by which package context attaches children
// without a goroutine each.
type requestContext struct {
	r *Request

	mu    sync.Mutex
	done  chan struct{}
	cause error
	after map[*afterCall]struct{}
}

type afterCall struct{ f func() }

var _ context.Context = (*requestContext)(nil)

func (c *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.cause != nil {
			close(c.done)
		}
	}
	return c.done
}

func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return context.Canceled
	}
	return nil
}

func (c *requestContext) Value(key any) any {
	if key == (requestKey{}) {
		return c.r
	}
	return nil
}

// AfterFunc has the contract of context.AfterFunc.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	call := &afterCall{f}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = map[*afterCall]struct{}{}
	}
	c.after[call] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[call]
		delete(c.after, call)
		return waiting
	}
}

// end ends the context; the first cause stays.
func (c *requestContext) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	c.cause = cause
	if c.done != nil {
		close(c.done)
	}
	for call := range c.after {
		go call.f()
	}
	c.after = nil
}
