// Command tqbench-peer is what tqbench compares TQServer with when the
// application is written in Go, all with one handler. Without arguments it is a
// worker of TQServer.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/cmd/tqbench/peer/rpc"
	"github.com/mevdschee/tqserver/sdk"
)

const usage = `wrong arguments; usage:
  tqbench-peer                   a worker of TQServer, started by it
  tqbench-peer serve ADDRESS     net/http
  tqbench-peer proxy ADDRESS TO  httputil.ReverseProxy
  tqbench-peer grpc ADDRESS      net/http, each request a call to a go-plugin plugin
an address is host:port or unix:PATH`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tqbench-peer:", err)
		os.Exit(1)
	}
}

func hello(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8") // what PHP sends
	_, _ = io.WriteString(w, "Hello from TQServer!\n")         // the client may have left
}

func run(args []string) error {
	handler := http.HandlerFunc(hello)
	if len(args) == 0 {
		sdk.Serve(handler)
		return nil
	}
	switch command, args := args[0], args[1:]; {
	case command == "plugin" && len(args) == 0:
		rpc.Serve(handler)
		return nil
	case command == "serve" && len(args) == 1:
		return serve(args[0], handler)
	case command == "proxy" && len(args) == 2:
		return serve(args[0], proxy(args[1]))
	case command == "grpc" && len(args) == 1:
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding this program: %w", err)
		}
		h, stop, err := rpc.Start(exec.Command(self, "plugin")) //nolint:noctx // stop ends it
		if err != nil {
			return err
		}
		defer stop()
		return serve(args[0], h)
	default:
		return errors.New(usage)
	}
}

// serve serves until a signal.
func serve(address string, h http.Handler) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	network, address := split(address)
	var config net.ListenConfig
	l, err := config.Listen(ctx, network, address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { // ends with ctx, which serve ends
		<-ctx.Done()
		_ = s.Close()
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// proxy forwards all requests over kept connections.
func proxy(to string) http.Handler {
	network, address := split(to)
	var dialer net.Dialer
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "app"})
			r.SetXForwarded()
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
			MaxIdleConnsPerHost: 64, DisableCompression: true,
		},
	}
}

func split(address string) (network, rest string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}
