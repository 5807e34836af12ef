package sdk

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/sdk/cgi"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// running is the worker a handler serves.
type running struct {
	worker Worker
	log    *slog.Logger
}

type runningKey struct{}

type requestKey struct{}

// requestContext is a request's context with what the server tells of it. It
// keeps strings, not the params, which are gone when the handler returns.
type requestContext struct {
	context.Context //nolint:containedctx // it is one
	*running

	id, queued, addr, port string
	tls                    cgi.TLS
}

func (r *running) withRequest(f *fastcgi.Request, ctx context.Context) context.Context { //nolint:revive // fastcgi.HTTPOptions has it so
	c := &requestContext{Context: ctx, running: r}
	for i := range f.Params {
		p := &f.Params[i]
		switch p.Name {
		case "REQUEST_ID":
			c.id = p.Value
		case "REQUEST_QUEUE_TIME":
			c.queued = p.Value
		case "REMOTE_ADDR":
			c.addr = p.Value
		case "REMOTE_PORT":
			c.port = p.Value
		case "HTTPS", "SSL_PROTOCOL", "SSL_CIPHER", "SSL_TLS_SNI":
			c.tls.Set(p.Name, p.Value)
		}
	}
	return c
}

// Value implements context.Context.
func (c *requestContext) Value(key any) any {
	switch key {
	case requestKey{}:
		return c
	case runningKey{}:
		return c.running
	}
	return c.Context.Value(key)
}

// AfterFunc is for package context, which attaches children by it without a
// goroutine each.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	if a, ok := c.Context.(interface{ AfterFunc(func()) func() bool }); ok {
		return a.AfterFunc(f)
	}
	return context.AfterFunc(c.Context, f)
}

func requestOf(ctx context.Context) *requestContext {
	if c, ok := ctx.Value(requestKey{}).(*requestContext); ok {
		return c
	}
	return &requestContext{}
}

// RequestID returns the ID the server gave the request, or took from a web
// server or proxy in front that it trusts; empty outside of a request.
func RequestID(ctx context.Context) string { return requestOf(ctx).id }

// ClientAddr returns the client's address, as r.RemoteAddr has it in text; not
// valid when there is none, as for a client at a unix socket.
func ClientAddr(ctx context.Context) netip.AddrPort {
	c := requestOf(ctx)
	addr, err := netip.ParseAddr(strings.Trim(c.addr, "[]"))
	if err != nil {
		return netip.AddrPort{}
	}
	port, _ := strconv.ParseUint(c.port, 10, 16) // 0 when it is not known
	return netip.AddrPortFrom(addr.Unmap(), uint16(port))
}

// TLSState returns what is known of the TLS connection of the client, nil when
// it has none: Version, CipherSuite and ServerName are zero when the server, or
// the web server in front of it, does not tell them.
func TLSState(ctx context.Context) *tls.ConnectionState { return requestOf(ctx).tls.State() }

// QueueTime returns how long the request waited for a place in the worker.
func QueueTime(ctx context.Context) time.Duration {
	seconds, err := strconv.ParseFloat(requestOf(ctx).queued, 64)
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Microsecond)
}

// WorkerName returns the name of the worker that ctx, of a request or given to
// the function of ServeWith, belongs to; empty for any other context.
func WorkerName(ctx context.Context) string { return WorkerOf(ctx).Name }

// WorkerOf returns the worker that ctx belongs to; zero for a context of
// something else, as in a test of a handler alone.
func WorkerOf(ctx context.Context) Worker {
	if r, ok := ctx.Value(runningKey{}).(*running); ok && r != nil {
		return r.worker
	}
	return Worker{}
}

// Log returns the log of the request, or of the worker, that ctx belongs to;
// slog's default for any other. Lines have the request's ID.
func Log(ctx context.Context) *slog.Logger {
	r, ok := ctx.Value(runningKey{}).(*running)
	if !ok || r == nil {
		return slog.Default()
	}
	if id := RequestID(ctx); id != "" {
		return r.log.With(requestIDKey, id)
	}
	return r.log
}
