package fastcgi

import (
	"context"
	"io"
	"sync"
)

// Request is one request of a web server. It is valid until its handler
// returns; the strings of its Params may be kept longer, the slice may not.
type Request struct {
	// Role the web server asked for.
	Role Role
	// KeepConn says that the web server keeps the connection.
	KeepConn bool
	// Params are the name-value pairs in their order. None holds a NUL.
	Params Params
	// Stdin is the body of the HTTP request. Its end is io.EOF; when the web
	// server leaves or aborts before it, an error.
	Stdin io.Reader
	// Data is the file of the Filter role, to be read after Stdin.
	Data io.Reader

	id      uint16
	conn    *conn
	ctx     requestContext
	stdin   stream
	data    stream
	out     ResponseWriter
	changed sync.Cond // on conn.mu: something came for a stream, or it ended

	// Guarded by conn.mu.
	phase    phase
	counted  bool // stands in conn.unfinished
	started  bool
	finished bool
	hijacked bool

	// Owned by the reader.
	block   string
	params  []byte
	size    int
	refused int    // HTTP status of the answer when the params are refused
	tail    []byte // content of TRAILERS

	// Guarded by conn.mu, set before the end of STDIN is told.
	trailers Params
}

// phase is how far the input of a request has come.
type phase uint8

const (
	inParams phase = iota
	inStdin
	inData
	inputDone
)

// Context ends when the web server aborts the request or leaves, and when the
// handler returns. Its Value gives the Request to FromContext.
func (r *Request) Context() context.Context { return &r.ctx }

// Cause says why the context ended: ErrAborted, ErrConnLost, ErrHandlerDone,
// ErrStalled or what the connection failed of; nil while it has not ended.
func (r *Request) Cause() error {
	r.ctx.mu.Lock()
	defer r.ctx.mu.Unlock()
	return r.ctx.cause
}

// Stderr writes to the web server's error log.
func (r *Request) Stderr() io.Writer { return (*stderrWriter)(&r.out) }

type requestKey struct{}

// FromContext returns the FastCGI request that ctx belongs to, nil when it
// belongs to none.
func FromContext(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}
