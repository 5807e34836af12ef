package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/front"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Bounds of a connection. A request has no body; an answer is made within
// scrapeWait and must be taken within writeWait.
const (
	readWait  = 5 * time.Second
	writeWait = 15 * time.Second
	idleWait  = 75 * time.Second // above Prometheus's usual interval
	maxHeader = 16 << 10
)

// newFront makes the doors of the module, which lead to a.
func newFront(cfg Config, a *Admin, d front.Deps) *front.Front {
	d.Message = "answering for operators"
	type shared struct { // what a change of makes another server
		allow []string
		most  int
	}
	entries := make([]front.Entry, 0, len(cfg.Listen))
	for i, address := range cfg.Listen {
		entries = append(entries, front.Entry{
			Setting:  settings.Index("admin.listen", i),
			Address:  address,
			File:     api.SocketFile{Mode: cfg.SocketMode.Mode(), Group: cfg.SocketGroup},
			Handler:  a,
			Settings: shared{cfg.Allow, cfg.MaxConnections},
			New:      func(next http.Handler) front.Server { return newServer(cfg, next, d.Log) },
		})
	}
	return front.New(entries, d)
}

// server is an http.Server on one address. It implements front.Server.
type server struct {
	http     *http.Server
	open     atomic.Int64 // connections
	silent   sync.Map     // net.Conn that have sent nothing yet
	retiring atomic.Bool
	cfg      Config
	log      *slog.Logger
}

func newServer(cfg Config, next http.Handler, log *slog.Logger) *server {
	s := &server{cfg: cfg, log: log}
	s.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s.retiring.Load() {
				w.Header().Set("Connection", "close")
			}
			next.ServeHTTP(w, r)
		}),
		ReadTimeout: readWait, WriteTimeout: writeWait, IdleTimeout: idleWait, MaxHeaderBytes: maxHeader,
		ConnState: s.state,
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	// As a browser's preconnect: Shutdown would wait 5 s for one.
	s.http.RegisterOnShutdown(func() {
		s.silent.Range(func(c, _ any) bool {
			if c, ok := c.(net.Conn); ok {
				_ = c.Close()
			}
			return true
		})
	})
	return s
}

// state counts connections; it is told of each before the next is accepted.
func (s *server) state(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
		s.silent.Store(c, true)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
		s.silent.Delete(c)
	default:
		s.silent.Delete(c)
	}
}

// Serve implements front.Server.
func (s *server) Serve(l net.Listener) error {
	allow, err := fastcgi.AllowAddrs(strings.Join(s.cfg.Allow, ","))
	if err != nil {
		return fmt.Errorf("admin.allow: %w", err)
	}
	err = s.http.Serve(&fence{l, func(c net.Conn) bool {
		if allow(c) && s.open.Load() < int64(s.cfg.MaxConnections) {
			return true
		}
		s.log.Debug("admin: connection cut off; admin.allow says who may ask, admin.max_connections how many at once", "client", c.RemoteAddr().String())
		return false
	}})
	if errors.Is(err, http.ErrServerClosed) {
		return net.ErrClosed
	}
	return err
}

// fence accepts only what may come in.
type fence struct {
	net.Listener
	may func(net.Conn) bool
}

func (f *fence) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil || f.may(c) {
			return c, err
		}
		_ = c.Close()
	}
}

// Close is called by the front, which owns the listener, and by http.Server.
func (f *fence) Close() error {
	if err := f.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Retire implements front.Server.
func (s *server) Retire() { s.retiring.Store(true) }

// Conns implements front.Server.
func (s *server) Conns() int { return int(s.open.Load()) }

// Shutdown implements front.Server.
func (s *server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close implements front.Server.
func (s *server) Close() error { return s.http.Close() }
