package control

import (
	"context"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Version of the protocol this package speaks. A change that an old plugin or
// an old host cannot understand gets a new number beside the old one.
const Version = 1

// Name under which the service is dispensed.
const Name = "backend"

// The magic cookie tells a plugin that a host started it. It is no secret.
const (
	CookieKey   = "TQSERVER_PLUGIN"
	CookieValue = "tqserver.plugin.v1"
)

// Environment of a plugin process, besides go-plugin's own.
const (
	// EnvLifeline is the number of the descriptor whose end of file says that
	// the host is gone.
	EnvLifeline = "TQSERVER_LIFELINE"
	// EnvLogLevel is the lowest level worth logging, as slog writes it.
	EnvLogLevel = "TQSERVER_LOG_LEVEL"
)

// MaxMessage bounds one message in both directions, in bytes (go-plugin's
// default for the host is 2 GiB).
const MaxMessage = 4 << 20

// Handshake is what host and plugin must have in common.
func Handshake() goplugin.HandshakeConfig {
	return goplugin.HandshakeConfig{MagicCookieKey: CookieKey, MagicCookieValue: CookieValue}
}

// Plugins is the set of every protocol version spoken. The host passes nil.
func Plugins(server PluginServer) map[int]goplugin.PluginSet {
	return map[int]goplugin.PluginSet{Version: {Name: &glue{server: server}}}
}

// glue dispenses a PluginClient on the host's side.
type glue struct {
	goplugin.NetRPCUnsupportedPlugin
	server PluginServer
}

func (g *glue) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	RegisterPluginServer(s, g.server)
	return nil
}

func (g *glue) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return NewPluginClient(c), nil
}
