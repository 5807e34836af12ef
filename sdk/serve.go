package sdk

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/mevdschee/tqserver/sdk/control"
)

// goneGrace is how long the backend may take to end when the host is gone.
const goneGrace = 800 * time.Millisecond

// Serve runs h as a TQServer worker: the whole main function of one. It
// returns when the server has stopped the worker. What h logs by Logger, or
// prints, becomes lines of the server's log.
//
// A request's context ends when the client leaves. A panic in h answers 500,
// or breaks the answer off when it has begun, and is logged with its stack.
//
// What slog and log write by default goes to the server's log, too.
func Serve(h http.Handler, options ...Option) {
	log := Logger()
	slog.SetDefault(log)
	ServePlugin(HandlerPlugin(h, log, options...))
}

// ServePlugin serves p to the host that started this process, and returns when
// the host has stopped it or is gone. Started by hand, it explains itself and
// exits with 1.
func ServePlugin(p Plugin) {
	if os.Getenv(control.CookieKey) != control.CookieValue {
		fmt.Fprintf(os.Stderr, "%s is a plugin of TQServer and cannot run alone: name it in the worker.yaml of a worker, "+
			"and `tqserver serve` starts it\n", filepath.Base(os.Args[0]))
		os.Exit(1) //nolint:forbidigo // this is the main function of a plugin
	}
	log := Logger()
	// go-plugin replaces these by pipes that block when the host is slow to
	// read; descriptors 1 and 2 are read by the host all the time.
	stdout, stderrFile := os.Stdout, os.Stderr
	s := newService(context.Background(), p, log, func() {
		os.Stdout, os.Stderr = stdout, stderrFile
		forgetHandshake()
	})
	server := make(chan *grpc.Server, 1)
	watchHost(log, sync.OnceFunc(func() { s.end(server) }))

	// Ends a line that was printed, unfinished, before the handshake.
	_, _ = os.Stdout.WriteString("\n")
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  control.Handshake(),
		VersionedPlugins: control.Plugins(s),
		Logger: hclog.New(&hclog.LoggerOptions{
			Name: "go-plugin", Level: hclog.Error, Output: stderr{}, JSONFormat: true,
		}),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			g := grpc.NewServer(append(opts, grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream),
				grpc.MaxRecvMsgSize(control.MaxMessage))...)
			server <- g
			return g
		},
	})
	s.cancel(errHostGone)
	s.awaitRun()
}

// end lets Run end, then the process: by ServePlugin returning, or, should
// main or Run hang, at once.
func (s *service) end(server <-chan *grpc.Server) {
	s.cancel(errHostGone)
	time.AfterFunc(goneGrace, func() {
		os.Exit(1) //nolint:forbidigo // the host is gone, and nobody else ends this process
	})
	s.awaitRun()
	select {
	case g := <-server:
		g.Stop()
	default: // not even served yet; the timer ends it
	}
}

func (s *service) awaitRun() {
	done := s.running()
	if done == nil {
		return
	}
	timer := time.NewTimer(goneGrace)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// forgetHandshake keeps what was for go-plugin alone from the worker's children.
func forgetHandshake() {
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "PLUGIN_") || name == control.CookieKey {
			_ = os.Unsetenv(name)
		}
	}
}
