package accesslog

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// statusClientGone is nginx's status for a client that left before it was answered.
const statusClientGone = 499

// Wrap is the middleware.
func (l *Log) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		began := time.Now()
		whole := false
		// A response that breaks off is a panic.
		defer func() { l.write(rec, r, began, whole) }() //nolint:contextcheck // it is the request's own
		next.ServeHTTP(rec, r)
		whole = true
	})
}

// write writes the line of a request that has ended. The line is built on the
// stack, and copied once, into the buffer.
func (l *Log) write(rec *recorder, r *http.Request, began time.Time, whole bool) {
	end := time.Now()
	e := entry{end: end, took: end.Sub(began), recorder: rec, r: r, whole: whole}
	e.finish()
	var room [1024]byte
	line := room[:0]
	if l.json {
		line = appendJSON(line, &e)
	} else {
		line = appendCombined(line, &e)
	}
	_, _ = l.async.Write(line) // closed: the request was cut off
}

// entry is what a line tells.
type entry struct {
	*recorder
	r     *http.Request
	end   time.Time
	took  time.Duration
	whole bool // the handler returned; else the response was broken off

	addr, user, front, id string
	notes                 api.Notes
}

// finish fills in what the request says.
func (e *entry) finish() {
	switch {
	case e.status != 0:
	case e.whole:
		e.status = http.StatusOK
	default:
		e.status = statusClientGone
	}
	if e.r.Method == http.MethodHead {
		e.bytes = 0
	}
	ctx := e.r.Context()
	if notes := api.NotesFrom(ctx); notes != nil {
		e.notes = *notes
	}
	e.id, e.front = api.RequestID(ctx), "http"
	if f := api.FastCGIFrom(ctx); f != nil {
		e.front, e.user = "fastcgi", f.Params.Get("REMOTE_USER")
	}
	if e.user == "" && strings.HasPrefix(e.r.Header.Get("Authorization"), "Basic ") {
		e.user, _, _ = e.r.BasicAuth()
	}
	if host, _, err := net.SplitHostPort(e.r.RemoteAddr); err == nil {
		e.addr = host
	} else if e.addr = e.r.RemoteAddr; e.addr == "" || e.addr[0] == '@' {
		e.addr = "unix:" // as nginx says it
	}
}
