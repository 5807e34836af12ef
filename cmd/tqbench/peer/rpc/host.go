package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// bodyMost bounds a request's body, in bytes.
const bodyMost = 8 << 20

// handshake is what host and plugin must agree on.
func handshake() goplugin.HandshakeConfig {
	return goplugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "TQBENCH_PLUGIN", MagicCookieValue: "handle"}
}

// glue is what go-plugin wants to know of the service.
type glue struct {
	goplugin.NetRPCUnsupportedPlugin
	handler http.Handler
}

// GRPCServer implements goplugin.GRPCPlugin.
func (g *glue) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	RegisterHandlerServer(s, &server{handler: g.handler})
	return nil
}

// GRPCClient implements goplugin.GRPCPlugin.
func (g *glue) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return NewHandlerClient(c), nil
}

// Start starts the plugin, a command that calls Serve, and returns a handler
// that sends it every request. Without AutoMTLS, which would cost more.
func Start(cmd *exec.Cmd) (h http.Handler, stop func(), err error) {
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: handshake(), Plugins: goplugin.PluginSet{"handler": &glue{}}, Cmd: cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC}, Logger: hclog.NewNullLogger(),
	})
	connected, err := client.Client()
	if err != nil {
		client.Kill()
		return nil, nil, fmt.Errorf("starting the plugin: %w", err)
	}
	raw, err := connected.Dispense("handler")
	if err != nil {
		client.Kill()
		return nil, nil, fmt.Errorf("asking the plugin for its handler: %w", err)
	}
	handler, ok := raw.(HandlerClient)
	if !ok {
		client.Kill()
		return nil, nil, errors.New("the plugin has another handler")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { forward(handler, w, r) }), client.Kill, nil
}

func forward(c HandlerClient, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMost))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	resp, err := c.Handle(r.Context(), &HandleRequest{
		Method: r.Method, Url: r.URL.RequestURI(), Host: r.Host, RemoteAddr: r.RemoteAddr, Headers: toHeaders(r.Header), Body: body,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	for _, h := range resp.GetHeaders() {
		w.Header()[h.GetName()] = h.GetValues()
	}
	w.WriteHeader(int(resp.GetStatus()))
	_, _ = w.Write(resp.GetBody()) // the client may have left
}

func toHeaders(h http.Header) []*Header {
	headers := make([]*Header, 0, len(h))
	for name, values := range h {
		headers = append(headers, &Header{Name: name, Values: values})
	}
	return headers
}
