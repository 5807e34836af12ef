package backend

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/fpmstatus"
	"github.com/mevdschee/tqserver/sdk"
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
	noted    bool // a middleware may want to know what became of a request
	log      *slog.Logger
	// trouble is what keeps the program of now from running; nil outside of
	// development.
	trouble func() *trouble
	// status is the worker's, for its own status page.
	status func(r *http.Request) api.WorkerStatus
}

// with is the same worker before another pool.
func (w *worker) with(p *pool) *worker {
	return &worker{
		name: w.name, prefix: w.prefix, limits: w.limits, config: w.config, spool: w.spool, software: w.software,
		pool: p, chunks: w.chunks, noted: w.noted, log: w.log,
	}
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
	user     string // who signed in; taken early, as the front takes the params back when the handler has returned
	streams  bool   // the handler itself sees when the client leaves
	conn     *poolConn
	arrived  time.Time // asked for a process
	started  time.Time // was given one
	again    bool      // the connection it was given first was dead
	headSent bool
	outcome  outcome

	// Of the pool, under its lock.
	accepted, slow bool

	// Set by leave, before whoever waits for the answer is told.
	why     fate
	process sdk.Process // that was ended
}

// newCall is a request that may ask for a process.
func (w *worker) newCall(rw http.ResponseWriter, r *http.Request) *call {
	return &call{worker: w, w: rw, r: r}
}

// account counts how the request ended; deferred by who has called start.
func (c *call) account() { c.pool.stats.ended[c.outcome].Add(1) }

// facts says which request it is, for the log.
func (c *call) facts() []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 16), slog.String("method", c.r.Method), slog.String("host", c.r.Host),
		slog.String("path", c.r.URL.Path), slog.String("client", c.r.RemoteAddr))
	if c.script != "" {
		attrs = append(attrs, slog.String("script", c.script))
	}
	if id := api.RequestID(c.r.Context()); id != "" {
		attrs = append(attrs, slog.String("request_id", id))
	}
	if c.arrived.IsZero() {
		return attrs
	}
	now := time.Now()
	if c.started.IsZero() {
		return append(attrs, slog.Duration("queued", now.Sub(c.arrived)))
	}
	return append(attrs, slog.Duration("queued", c.started.Sub(c.arrived)), slog.Duration("ran", now.Sub(c.started)))
}

// fail logs why the request failed, and answers if nothing was sent yet;
// a response that has begun is broken off, so that it cannot pass for whole.
func (c *call) fail(f failure) {
	c.outcome = f.outcome(c)
	f.log(c.r.Context(), c.log, append(c.facts(), processFacts(c.process)...))
	if c.headSent || f.status == statusClientGone {
		panic(http.ErrAbortHandler) // for a client that left, returning would be a 200
	}
	f.answer(c.w, c.r, c.limits.Queue.Wait)
}

// sender sends a request on the connection it was given.
type sender interface{ send(conn *poolConn) error }

// start has s send the request to a free connection.
// A process that ended while its connection was idle has seen nothing of the
// request, so it may be sent again; once, since twice is a pattern.
func (c *call) start(s sender) error {
	c.user = userOf(c.r)
	c.arrived = time.Now()
	for try := 0; ; try++ {
		conn, err := c.pool.acquire(c)
		if err != nil {
			if c.noted {
				c.note(time.Since(c.arrived))
			}
			return err
		}
		c.conn = conn
		if c.noted {
			c.note(c.started.Sub(c.arrived))
		}
		if err = s.send(conn); err == nil {
			return nil
		}
		if again := try == 0 && unsent(err); !again {
			c.leave(nil, err)
			return err
		}
		c.pool.put(conn) // which closes it, but for a param too large to be sent
		c.again = true
		c.pool.stats.replayed.Add(1)
	}
}

// startFCGI sends a request by FastCGI; body nil says that it follows. The last
// of params is given the time in the queue.
func (c *call) startFCGI(conn *poolConn, params fastcgi.Params, body []byte) error {
	if conn.fcgi == nil {
		return errNoFCGI
	}
	if last := len(params) - 1; last >= 0 && params[last].Name == queueTime {
		params[last].Value = seconds(c.started.Sub(c.arrived))
	}
	return conn.fcgi.Ask(fastcgi.Responder, true, params, body)
}

var errNoFCGI = errors.New("the worker's plugin has lent an endpoint that does not speak FastCGI, which scripts need")

// note tells middlewares how long the request waited.
func (c *call) note(queued time.Duration) {
	if notes := api.NotesFrom(c.r.Context()); notes != nil {
		notes.Queued = queued
	}
}

// queueTime is the param that says how long the request waited for a process,
// in seconds.
const queueTime = "REQUEST_QUEUE_TIME"

// requestID is the param that says which request it is.
const requestID = "REQUEST_ID"

// seconds has microseconds behind the point, as REQUEST_TIME_FLOAT. The usual
// wait, none, costs nothing.
func seconds(d time.Duration) string {
	if d < time.Microsecond {
		return "0.000000"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 6, 64)
}

// page answers what needs no process: status_path and ping_path, as the web
// server or the client names them. It says whether the request was for one.
func (w *worker) page(rw http.ResponseWriter, r *http.Request, path string) bool {
	switch {
	case path == "" || path != w.limits.StatusPath && path != w.limits.PingPath:
		return false
	case path == w.limits.StatusPath:
		fpmstatus.Serve(rw, r, w.status(r))
	default:
		fpmstatus.ServePing(rw, r, w.limits.PingResponse)
	}
	return true
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
