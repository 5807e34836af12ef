package http

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/front"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Server is the HTTP front of one generation.
type Server struct{ *front.Front }

// New makes the front for next; nothing listens before Start.
func New(cfg Config, next api.Router, d front.Deps) *Server {
	d.Message = "serving HTTP"
	shared := cfg // what a change of makes another server
	shared.Listen = nil
	entries := make([]front.Entry, 0, len(cfg.Listen))
	for i, address := range cfg.Listen {
		entries = append(entries, front.Entry{
			Setting:  settings.Index("http.listen", i),
			Address:  address,
			File:     api.SocketFile{Mode: cfg.SocketMode.Mode(), Group: cfg.SocketGroup},
			Handler:  next,
			Settings: shared,
			New:      func(next http.Handler) front.Server { return newServer(shared, next, d.Log) },
		})
	}
	return &Server{front.New(entries, d)}
}

// server is an http.Server on one address.
type server struct {
	cfg      Config
	log      *slog.Logger
	http     *http.Server
	retiring atomic.Bool

	mu       sync.Mutex
	listener *listener
}

func newServer(cfg Config, next http.Handler, log *slog.Logger) *server {
	s := &server{cfg: cfg, log: log}
	s.http = &http.Server{
		Handler:           s.limits(next),
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    int(cfg.MaxHeaderSize),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelInfo),
	}
	return s
}

// Serve implements front.Server.
func (s *server) Serve(l net.Listener) error {
	limited := newListener(l, s.cfg.MaxConnections, s.cfg.WriteTimeout)
	s.mu.Lock()
	s.listener = limited
	s.mu.Unlock()
	err := s.http.Serve(limited)
	if errors.Is(err, http.ErrServerClosed) {
		return net.ErrClosed
	}
	return err
}

// Retire implements front.Server: from now on every answer says Connection: close.
// (http.Server.SetKeepAlivesEnabled would close idle connections at once, on
// which a request may be on its way.)
func (s *server) Retire() {
	s.retiring.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close() // which may wait for a place
	}
}

// Conns implements front.Server.
func (s *server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return 0
	}
	return len(s.listener.places)
}

// Shutdown implements front.Server.
func (s *server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	l := s.listener
	s.mu.Unlock()
	if l != nil {
		l.awaitFirst(ctx)
	}
	return s.http.Shutdown(ctx)
}

// Close implements front.Server.
func (s *server) Close() error { return s.http.Close() }

// limits bounds the size of bodies and the wait for their next bytes.
func (s *server) limits(next http.Handler) http.Handler {
	most := int64(s.cfg.MaxBodySize)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*timedConn); ok {
			c.answered()
		}
		if s.retiring.Load() {
			w.Header().Set("Connection", "close")
		}
		switch {
		case r.Method == http.MethodTrace || r.Method == http.MethodConnect:
			w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
			http.Error(w, "405 Method Not Allowed", http.StatusMethodNotAllowed)
			return
		case len(r.TransferEncoding) > 0:
			// With Content-Length as well, which net/http drops, the connection
			// must not be used again (RFC 9112, section 6.3); it cannot be seen.
			w.Header().Set("Connection", "close")
		}
		// A copy: net/http must know its own body again when the handler has
		// returned, to see whether the client still waits for 100 Continue.
		r = r.WithContext(s.requestContext(r)) //nolint:contextcheck // it is the request's own
		switch {
		case r.ContentLength > most:
			s.log.Info("request body too large; http.max_body_size sets the limit",
				"status", http.StatusRequestEntityTooLarge, "method", r.Method, "path", r.URL.Path, "client", r.RemoteAddr,
				"length", r.ContentLength, "limit", most)
			w.Header().Set("Connection", "close")
			http.Error(w, "413 Request Entity Too Large", http.StatusRequestEntityTooLarge)
			return
		case r.ContentLength != 0:
			body := &timedBody{ReadCloser: r.Body, control: http.NewResponseController(w), wait: s.cfg.ReadTimeout}
			defer body.extend()
			// Without w, whose header map it would write from whichever goroutine
			// reads the body.
			r.Body = http.MaxBytesReader(nil, body, most)
		}
		if !r.ProtoAtLeast(1, 1) {
			defer resetIfBroken(r)
		}
		next.ServeHTTP(w, r)
	})
}

// requestContext is the request's own context, with its ID.
func (s *server) requestContext(r *http.Request) context.Context {
	ctx := r.Context()
	if ctx.Err() != nil {
		// net/http took a deadline that ended the body of an earlier request for
		// the client's leave, and said so for the whole connection.
		ctx = context.WithoutCancel(ctx)
	}
	id := ""
	if s.cfg.RequestIDHeader != "" {
		id = r.Header.Get(s.cfg.RequestIDHeader)
	}
	return api.WithRequestID(ctx, api.TrustedRequestID(id))
}

// connKey finds a request's *timedConn in its context.
type connKey struct{}

// resetIfBroken shows an HTTP/1.0 client that its response is not whole: there
// the end of the connection is the end of a response.
func resetIfBroken(r *http.Request) {
	if broken := recover(); broken != nil {
		if c, ok := r.Context().Value(connKey{}).(*timedConn); ok {
			c.resetOnClose()
		}
		panic(broken)
	}
}
