package backend

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// worker is what the handlers of every kind of worker share.
type worker struct {
	name     string
	prefix   string // URL prefix without trailing slash: "" or "/blog"
	limits   poolSettings
	config   Config
	spool    string // folder for temporary files
	software string // SERVER_SOFTWARE
	pool     *pool
	chunks   *sync.Pool
	log      *slog.Logger
}

func newChunks() *sync.Pool {
	return &sync.Pool{New: func() any {
		chunk := make([]byte, 0, chunkSize)
		return &chunk
	}}
}

// call is one request on its way through a worker.
type call struct {
	*worker
	w        http.ResponseWriter
	r        *http.Request
	script   string // SCRIPT_FILENAME, for the log
	conn     *poolConn
	arrived  time.Time
	started  time.Time // on the connection
	headSent bool
}

// fail logs why the request failed, and answers if nothing was sent yet;
// a response that has begun is broken off, so that it cannot pass for whole.
func (c *call) fail(f failure) {
	attrs := make([]slog.Attr, 0, 4)
	if c.script != "" {
		attrs = append(attrs, slog.String("script", c.script))
	}
	now := time.Now()
	if !c.arrived.IsZero() {
		queued := now.Sub(c.arrived)
		if !c.started.IsZero() {
			queued = c.started.Sub(c.arrived)
			attrs = append(attrs, slog.Duration("ran", now.Sub(c.started)))
		}
		attrs = append(attrs, slog.Duration("queued", queued))
	}
	f.report(c.r, c.log, attrs...)
	if c.headSent {
		panic(http.ErrAbortHandler)
	}
	f.answer(c.w, c.r, c.limits.Queue.Wait)
}

// acquire takes a connection and sets the deadline of all its reads and writes.
func (c *call) acquire() error {
	conn, err := c.pool.acquire(c.r.Context())
	if err != nil {
		return err
	}
	c.conn = conn
	conn.begin(c)
	c.started = time.Now()
	if err := conn.SetDeadline(c.started.Add(c.limits.RequestTimeout)); err != nil {
		c.pool.discard(conn)
		return err
	}
	return nil
}

// fastCGIScript returns what came by FastCGI when the web server named the
// script itself, else nil.
func fastCGIScript(r *http.Request) *api.FastCGI {
	if f := api.FastCGIFrom(r.Context()); f != nil && !f.ByRoute {
		return f
	}
	return nil
}
