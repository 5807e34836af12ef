package fastcgi

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/mevdschee/tqserver/sdk/cgi"
)

// HTTPOptions changes how HTTPHandler works. The zero value is fine.
type HTTPOptions struct {
	// WithContext returns the context of the http.Request, made from the one of
	// the FastCGI request. Nil leaves it as it is.
	WithContext func(*Request, context.Context) context.Context
}

// HTTPHandler runs h behind a Server. FromContext finds the FastCGI request in
// the context of the http.Request.
//
// The http.ResponseWriter is an http.Flusher, http.Hijacker and io.ReaderFrom
// and works with http.ResponseController. Responses 1xx are dropped, for
// FastCGI cannot carry them, and so are trailers, unless the Server is Extended.
// A request that is not valid HTTP gets a 400.
//
// A hijacked connection reads STDIN and writes STDOUT; a status line written to
// it becomes a Status header.
func HTTPHandler(h http.Handler, o HTTPOptions) Handler {
	return &httpHandler{h, o}
}

type httpHandler struct {
	h http.Handler
	o HTTPOptions
}

// ServeFastCGI implements Handler.
func (a *httpHandler) ServeFastCGI(w *ResponseWriter, r *Request) {
	ctx := r.Context()
	if a.o.WithContext != nil {
		ctx = a.o.WithContext(r, ctx)
	}
	req, err := cgi.NewRequest(ctx, r.Params)
	if err != nil {
		r.conn.srv.report(KindParams, r.conn.nc.RemoteAddr(), err)
		_, _ = w.WriteString("Status: 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBad Request\n")
		return
	}
	if r.conn.srv.Extended {
		trailerKeys(req)
	}
	setBody(req, r)
	hw := &httpWriter{w: w, r: r, req: req, header: make(http.Header, 4)}
	a.h.ServeHTTP(hw, req)
	hw.finish()
}

// setBody sets the body: at most CONTENT_LENGTH bytes of STDIN, and an error
// when there are fewer (section 6.2). Without CONTENT_LENGTH it is what comes.
func setBody(req *http.Request, r *Request) {
	switch {
	case req.ContentLength == 0:
	case req.ContentLength > 0:
		req.Body = &body{in: &r.stdin, left: req.ContentLength, bounded: true}
	case r.stdin.emptyNow():
		req.ContentLength = 0
	default:
		req.Body = &body{in: &r.stdin, trailed: req}
	}
}

// emptyNow says whether the stream is known to have nothing.
func (s *stream) emptyNow() bool {
	s.r.conn.mu.Lock()
	defer s.r.conn.mu.Unlock()
	return errors.Is(s.err, io.EOF) && s.waiting() == 0
}

// body is the body of an HTTP request.
type body struct {
	in      *stream
	left    int64
	bounded bool
	closed  bool
	trailed *http.Request // gets the trailers at the end
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if !b.bounded {
		n, err := b.in.Read(p)
		if errors.Is(err, io.EOF) && b.trailed != nil {
			takeTrailers(b.trailed, b.in.r)
			b.trailed = nil
		}
		return n, err
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.in.Read(p)
	b.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && b.left > 0:
		err = io.ErrUnexpectedEOF
	case b.left == 0 && err == nil:
		err = io.EOF
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.closed = true
	return nil
}
