package fastcgi

import (
	"strings"
	"time"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Section is the part of the configuration that turns this module on.
var Section = conf.NewSection("fastcgi", DefaultConfig)

// Config of the FastCGI front.
type Config struct {
	Listen         []string          `conf:"listen" doc:"Addresses to accept FastCGI on: host:port or unix:path. An empty list leaves the addresses of the workers' own." source:"PHP-FPM's listen of old, and a unix socket as Debian's"`
	SocketMode     settings.FileMode `conf:"socket_mode" doc:"Permissions of unix sockets, as a quoted octal number; those of a worker's own too, unless it says otherwise." source:"PHP-FPM's listen.mode"`
	SocketGroup    string            `conf:"socket_group" doc:"Group of unix sockets, by name, as the web server's www-data; empty means the server's own." source:"none: the group of the process that makes the file, as bind(2) does"`
	AllowedClients []string          `conf:"allowed_clients" doc:"IP addresses that may connect by TCP; others are cut off." source:"loopback: whoever may connect can run scripts"`
	ReadTimeout    time.Duration     `conf:"read_timeout" doc:"Longest wait for the next bytes of a request that has begun." source:"nginx's fastcgi_send_timeout"`
	WriteTimeout   time.Duration     `conf:"write_timeout" doc:"Longest wait until the web server takes the next part of a response." source:"nginx's fastcgi_read_timeout"`
	IdleTimeout    time.Duration     `conf:"idle_timeout" doc:"Longest wait for the next request on a kept connection." source:"nginx's keepalive_timeout"`
	MaxParamsSize  settings.Bytes    `conf:"max_params_size" doc:"Largest size of all params of a request." source:"twice what nginx can send (64 KiB, one record)"`
	MaxParams      int               `conf:"max_params" doc:"Largest number of params of a request." unit:"params" source:"PHP's max_input_vars"`
	MaxBodySize    settings.Bytes    `conf:"max_body_size" doc:"Largest request body; above it: 413." source:"as http.max_body_size"`
	MaxConnections int               `conf:"max_connections" doc:"Connections open at once on each address; more are closed." unit:"connections" source:"eight of nginx's worker_connections (512)"`
	MaxRequests    int               `conf:"max_requests_per_connection" doc:"Requests at once on one connection of a web server that multiplexes; one more is refused." unit:"requests" source:"our choice: above what HAProxy sends on one connection by default (max-reqs 1)"`
}

// DefaultConfig listens where PHP-FPM does, on loopback and a unix socket of
// mode 0660 (listen.mode); the time-outs are nginx's fastcgi_read_timeout and
// fastcgi_send_timeout (60 s) and keepalive_timeout (75 s).
func DefaultConfig() Config {
	return Config{
		Listen:         []string{"127.0.0.1:9000", "unix:run/fastcgi.sock"},
		SocketMode:     0o660,
		AllowedClients: []string{"127.0.0.1", "::1"},
		ReadTimeout:    60 * time.Second,
		WriteTimeout:   60 * time.Second,
		IdleTimeout:    75 * time.Second,
		MaxParamsSize:  128 << 10,
		MaxParams:      1000,
		MaxBodySize:    128 << 20,
		MaxConnections: 4096,
		MaxRequests:    64,
	}
}

// Validate checks the bounds: every wait has an end.
func (c *Config) Validate() []settings.Problem {
	var bad []settings.Problem
	if _, err := fastcgi.AllowAddrs(strings.Join(c.AllowedClients, ",")); err != nil {
		bad = append(bad, settings.Problem{Path: "allowed_clients", Message: err.Error()})
	}
	return append(bad, settings.Positive(
		settings.Bound{Path: "read_timeout", Value: int64(c.ReadTimeout)},
		settings.Bound{Path: "write_timeout", Value: int64(c.WriteTimeout)},
		settings.Bound{Path: "idle_timeout", Value: int64(c.IdleTimeout)},
		settings.Bound{Path: "max_params_size", Value: int64(c.MaxParamsSize)},
		settings.Bound{Path: "max_params", Value: int64(c.MaxParams)},
		settings.Bound{Path: "max_body_size", Value: int64(c.MaxBodySize)},
		settings.Bound{Path: "max_connections", Value: int64(c.MaxConnections)},
		settings.Bound{Path: "max_requests_per_connection", Value: int64(c.MaxRequests)},
	)...)
}
