package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Server is the FastCGI front: a protocol server for the common addresses and
// one for each worker that has addresses of its own.
type Server struct {
	cfg     Config
	listen  api.Listen
	claim   api.Claim
	allow   func(net.Conn) bool
	log     *slog.Logger
	failed  api.Failed
	entries []entry
	serving sync.WaitGroup
}

// entry is a set of addresses that lead to one handler.
type entry struct {
	setting string
	listen  []string
	server  *fastcgi.Server
}

// New makes the front; nothing listens before Start. failed is called when a
// listener breaks after Start.
func New(cfg Config, router api.Router, workers api.Workers, listen api.Listen, claim api.Claim, log *slog.Logger, failed api.Failed) (*Server, error) {
	allow, err := fastcgi.AllowAddrs(strings.Join(cfg.AllowedClients, ","))
	if err != nil {
		return nil, fmt.Errorf("fastcgi.allowed_clients: %w", err)
	}
	s := &Server{cfg: cfg, listen: listen, claim: claim, allow: allow, log: log, failed: failed}
	s.entries = append(s.entries, entry{"fastcgi.listen", cfg.Listen, s.protocol(router)})
	for _, w := range workers {
		if len(w.Listen) == 0 {
			continue
		}
		handler, err := router.ForWorker(w.Name)
		if err != nil {
			return nil, fmt.Errorf("fastcgi: %w", err)
		}
		s.entries = append(s.entries, entry{"worker " + w.Name + ": fastcgi.listen", w.Listen, s.protocol(handler)})
	}
	return s, nil
}

// protocol is the FastCGI server that leads to next.
func (s *Server) protocol(next http.Handler) *fastcgi.Server {
	return &fastcgi.Server{
		Handler:            fastcgi.HTTPHandler(s.limits(next), fastcgi.HTTPOptions{WithContext: withParams}),
		MaxConns:           s.cfg.MaxConnections,
		MaxRequestsPerConn: s.cfg.MaxRequests,
		MaxParamsSize:      int(s.cfg.MaxParamsSize),
		MaxParams:          s.cfg.MaxParams,
		ReadTimeout:        s.cfg.ReadTimeout,
		WriteTimeout:       s.cfg.WriteTimeout,
		IdleTimeout:        s.cfg.IdleTimeout,
		AllowConn:          s.allow,
		OnError: func(e fastcgi.ConnError) {
			if e.Remote == nil { // KindAccept
				s.log.Warn("accepting FastCGI connections failed", "error", e.Err)
				return
			}
			s.log.Warn("FastCGI connection closed", "kind", e.Kind.String(), "client", e.Remote.String(), "error", e.Err)
		},
	}
}

// withParams puts what the web server sent where routers and workers find it.
func withParams(r *fastcgi.Request, ctx context.Context) context.Context { //nolint:revive // the shape of fastcgi.HTTPOptions
	return api.WithFastCGI(ctx, &api.FastCGI{Params: r.Params.Folded(), Stderr: r.Stderr()})
}

// limits bounds the size of bodies.
func (s *Server) limits(next http.Handler) http.Handler {
	most := int64(s.cfg.MaxBodySize)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > most {
			s.log.Info("request body too large; fastcgi.max_body_size sets the limit",
				"status", http.StatusRequestEntityTooLarge, "method", r.Method, "path", r.URL.Path, "client", r.RemoteAddr,
				"length", r.ContentLength, "limit", most)
			http.Error(w, "413 Request Entity Too Large", http.StatusRequestEntityTooLarge)
			return
		}
		if r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(nil, r.Body, most)
		}
		next.ServeHTTP(w, r)
	})
}

// Check claims every address.
func (s *Server) Check(context.Context, bool) error {
	var errs []error
	for _, e := range s.entries {
		for i, address := range e.listen {
			errs = append(errs, s.claim(settings.Index(e.setting, i), address))
		}
	}
	return errors.Join(errs...)
}

// Start binds every address and serves in the background.
func (s *Server) Start(context.Context) error {
	type bound struct {
		net.Listener
		server *fastcgi.Server
	}
	var listeners []bound
	for _, e := range s.entries {
		for i, address := range e.listen {
			l, err := s.listen(settings.Index(e.setting, i), address, api.SocketFile{Mode: s.cfg.SocketMode.Mode(), Group: s.cfg.SocketGroup})
			if err != nil {
				for _, open := range listeners {
					_ = open.Close()
				}
				return err
			}
			listeners = append(listeners, bound{l, e.server})
		}
	}
	for _, l := range listeners {
		s.log.Info("serving FastCGI", "address", l.Addr().String(), "network", l.Addr().Network())
		s.serving.Go(func() {
			if err := l.server.Serve(l.Listener); !errors.Is(err, fastcgi.ErrServerClosed) {
				s.failed(fmt.Errorf("fastcgi: serving %s: %w", l.Addr(), err))
			}
		})
	}
	return nil
}

// Stop takes no new requests and lets the running ones finish until ctx ends;
// then their connections are cut.
func (s *Server) Stop(ctx context.Context) error {
	errs := make([]error, len(s.entries))
	var stopping sync.WaitGroup
	for i, e := range s.entries {
		stopping.Go(func() {
			if err := e.server.Shutdown(ctx); err != nil {
				_ = e.server.Close()
				errs[i] = fmt.Errorf("fastcgi: requests cut off, they did not finish in time: %w", err)
			}
		})
	}
	stopping.Wait()
	s.serving.Wait()
	return errors.Join(errs...)
}
