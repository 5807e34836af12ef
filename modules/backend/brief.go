package backend

import (
	"net/http"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// brief is what the status page shows of the last request of a process.
type brief struct {
	started             time.Time
	ran                 time.Duration
	method, uri, script string
	user                string
	length              int64
	cpu                 time.Duration // 0 when it was not looked at
}

// briefOf keeps strings of the request, but not the request. It runs once for
// each, so it allocates nothing unless a user has signed in.
func briefOf(c *call, ran time.Duration) brief {
	r := c.r
	b := brief{started: c.started, ran: ran, method: r.Method, uri: r.RequestURI, script: c.script, user: c.user, length: max(r.ContentLength, 0)}
	if b.uri == "" {
		b.uri = r.URL.Path
	}
	return b
}

// userOf is who signed in: to the web server, or by HTTP's basic scheme. It may
// be asked while the handler runs.
func userOf(r *http.Request) string {
	if f := api.FastCGIFrom(r.Context()); f != nil {
		if user := f.Params.Get("REMOTE_USER"); user != "" {
			return user
		}
	}
	if len(r.Header["Authorization"]) == 0 {
		return ""
	}
	user, _, _ := r.BasicAuth()
	return user
}

// status fills in what the brief knows.
func (b brief) status(p *api.ProcessStatus) {
	p.RequestStarted, p.Duration = b.started, b.ran
	p.Method, p.URI, p.Script, p.User, p.ContentLength = b.method, b.uri, b.script, b.user, b.length
	if b.ran > 0 {
		p.LastRequestCPU = 100 * b.cpu.Seconds() / b.ran.Seconds()
	}
}
