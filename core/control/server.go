package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/core/api"
)

// Handler does what clients ask for. The contexts end with the client's patience.
type Handler interface {
	Info() Info
	Reload(ctx context.Context, dry bool) (Reloaded, error)
	Restart(ctx context.Context, worker string) error
	// Status of one worker, of all for an empty name.
	Status(ctx context.Context, worker string, full bool) ([]api.WorkerStatus, error)
}

// Server answers on the control socket.
type Server struct {
	http http.Server
	log  *slog.Logger
}

// NewServer returns a server that is not listening yet.
func NewServer(h Handler, log *slog.Logger) *Server {
	s := &Server{log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /info", answer(func(context.Context, *http.Request) (any, error) { return h.Info(), nil }))
	mux.HandleFunc("POST /reload", answer(func(ctx context.Context, r *http.Request) (any, error) {
		return h.Reload(ctx, flag(r, "dry"))
	}))
	mux.HandleFunc("POST /restart", answer(func(ctx context.Context, r *http.Request) (any, error) {
		return struct{}{}, h.Restart(ctx, r.FormValue("worker"))
	}))
	mux.HandleFunc("GET /status", answer(func(ctx context.Context, r *http.Request) (any, error) {
		return h.Status(ctx, r.FormValue("worker"), flag(r, "full"))
	}))
	s.http = http.Server{
		Handler:           mux,
		ReadHeaderTimeout: ioWait, ReadTimeout: ioWait, IdleTimeout: ioWait,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// ioWait is how long the other side may take to send or take a message.
const ioWait = 10 * time.Second

// Serve answers until Stop. It closes l.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(&ownUsers{l, s.log}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// Stop lets running calls end until ctx ends.
func (s *Server) Stop(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
}

// failure is the answer to a call that failed.
type failure struct {
	Error string `json:"error"`
}

// answer makes a handler of a call, whose time the client says.
func answer(call func(context.Context, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		wait, err := time.ParseDuration(r.FormValue("timeout"))
		if err != nil || wait <= 0 || wait > MaxWait {
			wait = MaxWait
		}
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		status, value := http.StatusOK, any(nil)
		if value, err = call(ctx, r); err != nil {
			status, value = http.StatusConflict, failure{err.Error()}
		}
		text, err := json.Marshal(value)
		if err != nil {
			status, text = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written"}`)
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(ioWait))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(text)
	}
}

func flag(r *http.Request, name string) bool {
	on, err := strconv.ParseBool(r.FormValue(name))
	return err == nil && on
}

// ownUsers accepts connections of the server's own user and of root. The socket's
// mode says the same; this holds also when somebody widens it.
type ownUsers struct {
	net.Listener
	log *slog.Logger
}

func (l *ownUsers) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peer(c)
		if err == nil && mayControl(uid, os.Geteuid()) {
			return c, nil
		}
		l.log.Warn("a connection to the control socket was refused: it is for the server's own user and root", "uid", uid, "error", err)
		_ = c.Close()
	}
}

func mayControl(uid, own int) bool { return uid == own || uid == 0 }

// peer is the user on the other side, -1 if unknown.
func peer(c net.Conn) (int, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return -1, fmt.Errorf("not a unix socket: %s", c.LocalAddr().Network())
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return -1, err
	}
	uid := -1
	var credErr error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); credErr == nil {
			uid = int(cred.Uid)
		}
	})
	return uid, errors.Join(err, credErr)
}
