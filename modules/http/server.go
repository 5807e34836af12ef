package http

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Server is the HTTP front: one http.Server on every configured address.
type Server struct {
	cfg     Config
	listen  api.Listen
	claim   api.Claim
	log     *slog.Logger
	server  *http.Server
	serving sync.WaitGroup
	failed  api.Failed
}

// New makes the front for next; nothing listens before Start. failed is called
// when a listener breaks after Start.
func New(cfg Config, next api.Router, listen api.Listen, claim api.Claim, log *slog.Logger, failed api.Failed) *Server {
	s := &Server{cfg: cfg, listen: listen, claim: claim, log: log, failed: failed}
	s.server = &http.Server{
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

// Check claims every address.
func (s *Server) Check(context.Context, bool) error {
	errs := make([]error, 0, len(s.cfg.Listen))
	for i, address := range s.cfg.Listen {
		errs = append(errs, s.claim(setting(i), address))
	}
	return errors.Join(errs...)
}

func setting(i int) string { return settings.Index("http.listen", i) }

// Start binds every address and serves in the background.
func (s *Server) Start(context.Context) error {
	listeners := make([]net.Listener, 0, len(s.cfg.Listen))
	for i, address := range s.cfg.Listen {
		l, err := s.listen(setting(i), address, api.SocketFile{Mode: s.cfg.SocketMode.Mode(), Group: s.cfg.SocketGroup})
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return err
		}
		listeners = append(listeners, l)
	}
	for _, l := range listeners {
		s.log.Info("serving HTTP", "address", l.Addr().String())
		limited := newListener(l, s.cfg.MaxConnections, s.cfg.WriteTimeout)
		s.server.RegisterOnShutdown(limited.closeSilent)
		s.serving.Go(func() {
			if err := s.server.Serve(limited); !errors.Is(err, http.ErrServerClosed) {
				s.failed(fmt.Errorf("http: serving %s: %w", l.Addr(), err))
			}
		})
	}
	return nil
}

// Stop takes no new requests and lets the running ones finish until ctx ends;
// then their connections are cut.
func (s *Server) Stop(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if err != nil {
		_ = s.server.Close()
		err = fmt.Errorf("http: requests cut off, they did not finish in time: %w", err)
	}
	s.serving.Wait()
	return err
}

// limits bounds the size of bodies and the wait for their next bytes.
func (s *Server) limits(next http.Handler) http.Handler {
	most := int64(s.cfg.MaxBodySize)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
			// A copy: net/http must know its own body again when the handler has
			// returned, to see whether the client still waits for 100 Continue.
			r = r.WithContext(r.Context())
			// Without w, whose header map it would write from whichever goroutine
			// reads the body.
			r.Body = http.MaxBytesReader(nil, body, most)
		}
		if !r.ProtoAtLeast(1, 1) {
			defer resetIfBroken(r)
		}
		if r.Context().Err() != nil {
			// net/http took a deadline that ended the body of an earlier request
			// for the client's leave, and said so for the whole connection.
			r = r.WithContext(context.WithoutCancel(r.Context()))
		}
		next.ServeHTTP(w, r)
	})
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
