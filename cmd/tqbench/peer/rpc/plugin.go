package rpc

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
)

// Serve is the main function of the plugin.
func Serve(h http.Handler) {
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: handshake(), Plugins: goplugin.PluginSet{"handler": &glue{handler: h}},
		GRPCServer: goplugin.DefaultGRPCServer, Logger: hclog.NewNullLogger(),
	})
}

type server struct {
	UnimplementedHandlerServer
	handler http.Handler
}

// Handle implements HandlerServer.
func (s *server) Handle(ctx context.Context, in *HandleRequest) (*HandleResponse, error) {
	r, err := http.NewRequestWithContext(ctx, in.GetMethod(), in.GetUrl(), bytes.NewReader(in.GetBody()))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	r.Host, r.RemoteAddr, r.RequestURI = in.GetHost(), in.GetRemoteAddr(), in.GetUrl()
	for _, h := range in.GetHeaders() {
		r.Header[h.GetName()] = h.GetValues()
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	s.handler.ServeHTTP(w, r)
	return &HandleResponse{Status: int32(w.status), Headers: toHeaders(w.header), Body: w.body.Bytes()}, nil
}

// recorder keeps a response.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }
