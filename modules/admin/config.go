package admin

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Section is the part of the configuration that turns this module on.
var Section = conf.NewSection("admin", DefaultConfig)

// Config of the module.
type Config struct {
	Listen         []string          `conf:"listen" doc:"Addresses to answer on: host:port or unix:path." source:"loopback only, since the pages show what clients ask for"`
	SocketMode     settings.FileMode `conf:"socket_mode" doc:"Permissions of unix sockets, as a quoted octal number." source:"the server's user only: whoever may connect sees every request"`
	SocketGroup    string            `conf:"socket_group" doc:"Group of unix sockets, by name; empty means the server's own." source:"none: the group of the process that makes the file, as bind(2) does"`
	Allow          []string          `conf:"allow" doc:"IP addresses and networks that may connect by TCP; others are cut off." source:"this machine, as the address"`
	Hosts          []string          `conf:"hosts" doc:"Names by which browsers and scrapers may call this server, beside localhost and IP addresses; other Host headers are refused." source:"none: a name that is not known here may be an attack (DNS rebinding)"`
	Token          settings.Secret   `conf:"token" doc:"Bearer token, or password of any user, that everything but /healthz and /readyz asks for; empty means none." source:"none: on loopback the address is the fence"`
	MaxConnections int               `conf:"max_connections" doc:"Connections open at once on each address; more are cut off." unit:"connections" source:"a few scrapers, probes and browsers"`
}

// DefaultConfig is open to this machine only.
func DefaultConfig() Config {
	return Config{
		Listen:         []string{"127.0.0.1:8090"},
		SocketMode:     0o600,
		Allow:          []string{"127.0.0.0/8", "::1"},
		MaxConnections: 64,
	}
}

// Validate refuses an address that other machines reach, unless it was said
// which of them may.
func (c *Config) Validate() []settings.Problem {
	var bad []settings.Problem
	if len(c.Listen) == 0 {
		bad = append(bad, settings.Problem{Path: "listen", Message: "give at least one address"})
	}
	if _, err := fastcgi.AllowAddrs(strings.Join(c.Allow, ",")); err != nil {
		bad = append(bad, settings.Problem{Path: "allow", Message: err.Error()})
	}
	allowed := slices.ContainsFunc(c.Allow, func(a string) bool { return !loopback(a) })
	for i, address := range c.Listen {
		if open(address) && !allowed {
			bad = append(bad, settings.Problem{
				Path:    settings.Index("listen", i),
				Message: "is reached from other machines; say in admin.allow which of them may ask, and consider admin.token",
			})
		}
	}
	for i, host := range c.Hosts {
		if host == "" || strings.ContainsAny(host, ":/ ") {
			bad = append(bad, settings.Problem{Path: settings.Index("hosts", i), Message: "is not a host name; write it without port"})
		}
	}
	return append(bad, settings.Positive(settings.Bound{Path: "max_connections", Value: int64(c.MaxConnections)})...)
}

// open says whether another machine may reach the address.
func open(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return false
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false // whoever listens says what is wrong with it
	}
	return host != "localhost" && !loopback(host)
}

// loopback says whether an address or network is of this machine only.
func loopback(s string) bool {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr().IsLoopback() && p.Bits() >= 8
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Unmap().IsLoopback()
}
