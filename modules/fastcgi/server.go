package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/front"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Server is the FastCGI front of one generation: doors for the common addresses
// and for each worker that has addresses of its own.
type Server struct {
	*front.Front
	closed bool // it has no address
}

// New makes the front; nothing listens before Start.
func New(cfg Config, router api.Router, workers api.Workers, d front.Deps) (*Server, error) {
	if _, err := limits(cfg); err != nil {
		return nil, err
	}
	d.Message = "serving FastCGI"
	var entries []front.Entry
	add := func(cfg Config, owner, setting, route string, listen []string, where api.Where, handler http.Handler) {
		shared := cfg
		shared.Listen = nil // an address is a door of its own
		for i, address := range listen {
			place := ""
			if where != nil {
				place = where(settings.Index("fastcgi.listen", i))
			}
			entries = append(entries, front.Entry{
				Setting:  settings.Index(setting, i),
				Where:    place,
				Address:  address,
				File:     api.SocketFile{Mode: cfg.SocketMode.Mode(), Owner: owner, Group: cfg.SocketGroup},
				Route:    route,
				Handler:  handler,
				Settings: shared,
				New:      func(next http.Handler) front.Server { return newServer(shared, next, d.Log) },
			})
		}
	}
	add(cfg, "", "fastcgi.listen", "", cfg.Listen, nil, router)
	for _, w := range workers {
		if len(w.Listen) == 0 {
			continue
		}
		handler, err := router.ForWorker(w.Name)
		if err != nil {
			return nil, fmt.Errorf("fastcgi: %w", err)
		}
		add(ownAccess(cfg, w.Access), w.Access.Owner, "worker "+w.Name+": fastcgi.listen", w.Name, w.Listen, w.Where, handler)
	}
	return &Server{front.New(entries, d), len(entries) == 0}, nil
}

// ownAccess are the settings for a worker's own addresses.
func ownAccess(cfg Config, access api.Access) Config {
	if access.Mode != nil {
		cfg.SocketMode = settings.FileMode(*access.Mode)
	}
	if access.Group != "" {
		cfg.SocketGroup = access.Group
	}
	if len(access.Clients) > 0 {
		cfg.AllowedClients = access.Clients
	}
	return cfg
}

// Check claims every address.
func (s *Server) Check(ctx context.Context, deep bool) error {
	if s.closed {
		return errors.New("fastcgi.listen: there is no address, and no worker has one of its own; give one, or take the section out")
	}
	return s.Front.Check(ctx, deep)
}

// limits are those that the protocol server holds.
func limits(cfg Config) (fastcgi.Limits, error) {
	allow, err := fastcgi.AllowAddrs(strings.Join(cfg.AllowedClients, ","))
	if err != nil {
		return fastcgi.Limits{}, fmt.Errorf("fastcgi.allowed_clients: %w", err)
	}
	return fastcgi.Limits{
		MaxConns:           cfg.MaxConnections,
		MaxRequestsPerConn: cfg.MaxRequests,
		MaxParamsSize:      int(cfg.MaxParamsSize),
		MaxParams:          cfg.MaxParams,
		ReadTimeout:        cfg.ReadTimeout,
		WriteTimeout:       cfg.WriteTimeout,
		IdleTimeout:        cfg.IdleTimeout,
		AllowConn:          allow,
	}, nil
}

// server is a fastcgi.Server on one address.
type server struct {
	*fastcgi.Server
	maxBody atomic.Int64
	log     *slog.Logger
}

func newServer(cfg Config, next http.Handler, log *slog.Logger) *server {
	s := &server{log: log}
	s.Server = &fastcgi.Server{
		Handler: fastcgi.HTTPHandler(s.limits(next), fastcgi.HTTPOptions{WithContext: withParams}),
		OnError: func(e fastcgi.ConnError) {
			if e.Remote == nil { // KindAccept
				log.Warn("accepting FastCGI connections failed", "error", e.Err)
				return
			}
			log.Warn("FastCGI connection closed", "kind", e.Kind.String(), "client", e.Remote.String(), "error", e.Err)
		},
	}
	s.Change(cfg)
	return s
}

// Change implements front.Changer: all settings count at once, for connections
// that are open as well.
func (s *server) Change(to any) {
	cfg := to.(Config) //nolint:forcetypeassert // what New gave
	s.maxBody.Store(int64(cfg.MaxBodySize))
	if l, err := limits(cfg); err == nil { // New has asked
		s.SetLimits(l)
	}
}

// Serve implements front.Server.
func (s *server) Serve(l net.Listener) error {
	err := s.Server.Serve(l)
	if errors.Is(err, fastcgi.ErrServerClosed) {
		return net.ErrClosed
	}
	return err
}

// Conns implements front.Server.
func (s *server) Conns() int { return s.Stats().Conns }

// withParams puts what the web server sent where routers and workers find it.
func withParams(r *fastcgi.Request, ctx context.Context) context.Context { //nolint:revive // the shape of fastcgi.HTTPOptions
	params := r.Params.Folded()
	// A client cannot name it: its headers are called HTTP_ and something.
	ctx = api.WithRequestID(ctx, api.TrustedRequestID(params.Get("REQUEST_ID")))
	return api.WithFastCGI(ctx, &api.FastCGI{Params: params, Stderr: r.Stderr()})
}

// limits bounds the size of bodies.
func (s *server) limits(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most := s.maxBody.Load()
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
