package http

import (
	"time"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Section is the part of the configuration that turns this module on.
var Section = conf.NewSection("http", DefaultConfig)

// Config of the HTTP front.
type Config struct {
	Listen            []string          `conf:"listen" doc:"Addresses to accept HTTP on: host:port or unix:path." source:"the port most HTTP servers behind another take; loopback only, so that nothing is open by accident"`
	SocketMode        settings.FileMode `conf:"socket_mode" doc:"Permissions of unix sockets, as a quoted octal number." source:"PHP-FPM's listen.mode"`
	SocketGroup       string            `conf:"socket_group" doc:"Group of unix sockets, by name; empty means the server's own." source:"none: the group of the process that makes the file, as bind(2) does"`
	ReadHeaderTimeout time.Duration     `conf:"read_header_timeout" doc:"Longest time a client may take to send a request's head." source:"stricter than nginx's client_header_timeout (60s): slow heads are an attack (Slowloris)"`
	ReadTimeout       time.Duration     `conf:"read_timeout" doc:"Longest wait for the next bytes of a request body, not for the whole of it." source:"nginx's client_body_timeout"`
	WriteTimeout      time.Duration     `conf:"write_timeout" doc:"Longest wait until a client takes the next part of a response, not the whole of it." source:"nginx's send_timeout"`
	IdleTimeout       time.Duration     `conf:"idle_timeout" doc:"Longest wait for the next request on a kept connection." source:"nginx's keepalive_timeout"`
	MaxHeaderSize     settings.Bytes    `conf:"max_header_size" doc:"Largest head of a request, request line included; above it: 431." source:"twice nginx's large_client_header_buffers (4 of 8k)"`
	MaxBodySize       settings.Bytes    `conf:"max_body_size" doc:"Largest request body; above it: 413." source:"Debian's PHP takes 8 MB (post_max_size); enough for uploads that PHP is told to take"`
	RequestIDHeader   string            `conf:"request_id_header" doc:"Header in which a trusted proxy in front sends the ID of a request, X-Request-Id for one; empty means that every request gets a new ID." source:"none: what a client sends is not to be trusted"`
	MaxConnections    int               `conf:"max_connections" doc:"Connections open at once on each address; more wait in the kernel's backlog." unit:"connections" source:"eight of nginx's worker_connections (512)"`
}

// DefaultConfig is for a web server's place: the time-outs are nginx's
// (client_header_timeout, client_body_timeout, send_timeout: 60 s,
// keepalive_timeout: 75 s) but for the head, which reliability asks sooner.
func DefaultConfig() Config {
	return Config{
		Listen:            []string{"127.0.0.1:8080"},
		SocketMode:        0o660,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       75 * time.Second,
		MaxHeaderSize:     64 << 10,
		MaxBodySize:       128 << 20,
		MaxConnections:    4096,
	}
}

// Validate checks the bounds: every wait has an end.
func (c *Config) Validate() []settings.Problem {
	var bad []settings.Problem
	if len(c.Listen) == 0 {
		bad = append(bad, settings.Problem{Path: "listen", Message: "give at least one address"})
	}
	return append(bad, settings.Positive(
		settings.Bound{Path: "read_header_timeout", Value: int64(c.ReadHeaderTimeout)},
		settings.Bound{Path: "read_timeout", Value: int64(c.ReadTimeout)},
		settings.Bound{Path: "write_timeout", Value: int64(c.WriteTimeout)},
		settings.Bound{Path: "idle_timeout", Value: int64(c.IdleTimeout)},
		settings.Bound{Path: "max_header_size", Value: int64(c.MaxHeaderSize)},
		settings.Bound{Path: "max_body_size", Value: int64(c.MaxBodySize)},
		settings.Bound{Path: "max_connections", Value: int64(c.MaxConnections)},
	)...)
}
