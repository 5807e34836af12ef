package backend

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// upload is a request body on its way to a worker while the worker answers.
type upload struct {
	body io.Reader
	done chan struct{}         // closed by who sends it, when nothing is left to do
	err  atomic.Pointer[error] // why the body could not be read
	// before is called before each read of the body; nil for nothing.
	before func() error
	over   atomic.Bool // nothing more is read from the body
}

func newUpload(r *http.Request) *upload { return &upload{body: r.Body, done: make(chan struct{})} }

// startUpload sends the body of r to conn, and its trailers where they are
// taken. A body that breaks off closes conn: cut short it must not look like a
// whole one.
func startUpload(conn *poolConn, r *http.Request) *upload {
	u := newUpload(r)
	go func() { // awaited by end
		defer close(u.done)
		if _, err := conn.ReadFrom(u); err != nil {
			_ = conn.Close()
			return
		}
		if len(r.Trailer) > 0 && conn.set.Endpoints[conn.endpoint].Trailers {
			_ = conn.fcgi.WriteTrailers(trailersOf(r))
		}
		_ = conn.CloseStdin()
	}()
	return u
}

// trailersOf are those that came with the end of the body, of the names that
// were announced.
func trailersOf(r *http.Request) fastcgi.Params {
	var pairs fastcgi.Params
	for name, values := range r.Trailer {
		if fastcgi.ForbiddenTrailer(name) {
			continue
		}
		for _, v := range values {
			pairs = append(pairs, fastcgi.Param{Name: name, Value: v})
		}
	}
	return pairs
}

// Read reads the body, and remembers whether it was the client that failed.
func (u *upload) Read(p []byte) (int, error) {
	if u.before != nil {
		if err := u.before(); err != nil {
			return 0, err
		}
	}
	n, err := u.body.Read(p)
	if err != nil {
		u.over.Store(true)
		if err != io.EOF {
			u.err.Store(&err)
		}
	}
	return n, err
}

// broken is why the body could not be read, nil when it could or there is none.
func (u *upload) broken() error {
	if u == nil {
		return nil
	}
	if err := u.err.Load(); err != nil {
		return *err
	}
	return nil
}

// end ends the upload. When the answer came before the client had sent it all,
// nobody wants the rest. A body that was read to its end must not be disturbed:
// net/http watches for the client then, and a deadline would look to it as if
// the client had left, for this and every later request of the connection.
func (u *upload) end(control *http.ResponseController) {
	if u == nil {
		return
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if u.over.Load() {
			<-u.done // the connection to the worker has a deadline
			return
		}
		select {
		case <-u.done:
			return
		default:
		}
		// Again and again: each read of the body gives itself a new deadline.
		_ = control.SetReadDeadline(time.Now())
		select {
		case <-u.done:
			_ = control.SetReadDeadline(time.Time{})
			return
		case <-tick.C:
		}
	}
}
