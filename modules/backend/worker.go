package backend

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
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
	params   paramsPool
	upgraded upgrades
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

// start sends the request to a free connection; body nil says that it follows.
// A process that ended while its connection was idle has seen nothing of the
// request, so it may be sent again; once, since twice is a pattern.
func (c *call) start(params fastcgi.Params, body []byte) error {
	for try := 0; ; try++ {
		if err := c.acquire(); err != nil {
			return err
		}
		err := c.conn.Start(fastcgi.Responder, true, params, body)
		if err == nil {
			return nil
		}
		c.pool.put(c.conn) // which closes it, but for a param too large to be sent
		if try > 0 || !unsent(err) {
			return err
		}
	}
}

// paramsPool lends slices for the params of requests; zero is ready.
type paramsPool struct{ pool sync.Pool }

func (p *paramsPool) get() *fastcgi.Params {
	if lent, ok := p.pool.Get().(*fastcgi.Params); ok {
		return lent
	}
	return &fastcgi.Params{}
}

func (p *paramsPool) put(lent *fastcgi.Params) {
	clear(*lent)
	*lent = (*lent)[:0]
	p.pool.Put(lent)
}

// fastCGIScript returns what came by FastCGI when the web server named the
// script itself, else nil.
func fastCGIScript(r *http.Request) *api.FastCGI {
	if f := api.FastCGIFrom(r.Context()); f != nil && !f.ByRoute {
		return f
	}
	return nil
}
