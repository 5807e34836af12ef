package backend

import (
	"maps"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Section is the part of the configuration that turns this module on.
var Section = conf.NewSection("backend", DefaultConfig)

// Config of the backend module; the workers' own settings stand in their folders.
type Config struct {
	Workers        string         `conf:"workers" doc:"Folder that holds the workers, one folder each with config/worker.yaml." source:"beside config, so that a checkout runs as it is"`
	BodyMemory     settings.Bytes `conf:"body_memory" doc:"How much of a request body for PHP is kept in memory; what is more goes to a temporary file." source:"four of nginx's client_body_buffer_size (16k): a form never touches the disk"`
	ResponseMemory settings.Bytes `conf:"response_memory" doc:"How much of a response its client has not taken yet is kept in memory; what is more goes to a temporary file." source:"eight of nginx's fastcgi_buffers (8 of 4k): a page never touches the disk"`
	ResponseFile   settings.Bytes `conf:"response_file" doc:"Largest temporary file of one response; then PHP waits for the client. 0 means no file." source:"nginx's fastcgi_max_temp_file_size"`
}

// DefaultConfig has nginx's fastcgi_max_temp_file_size (1 GiB), and more
// memory than its client_body_buffer_size (16 kB) and fastcgi_buffers (32 kB):
// a form or a page should never touch the disk.
func DefaultConfig() Config {
	return Config{Workers: "workers", BodyMemory: 64 << 10, ResponseMemory: 256 << 10, ResponseFile: 1 << 30}
}

// workerSettings is worker.yaml, but for the section named by its type.
type workerSettings struct {
	Path            string            `conf:"path" doc:"URL prefix of the worker: / or /blog. A worker with FastCGI addresses of its own may have none: then nothing else leads to it." source:"none: it has to be given, unless fastcgi.listen is"`
	Hosts           []string          `conf:"hosts" doc:"Host names the worker answers to; none means any." source:"none: every host"`
	Type            string            `conf:"type" doc:"What runs the worker: php, go, command, or the name of a plugin of the configuration; its settings stand in the section of that name." source:"none: it has to be given"`
	DocumentRoot    string            `conf:"document_root" doc:"Folder of scripts and static files, relative to the worker's folder; needed by php." source:"none: it has to be given for php"`
	Index           []string          `conf:"index" doc:"Files that answer for a folder, the first that exists." source:"PHP's and the web servers' usual names"`
	FrontController string            `conf:"front_controller" doc:"Script, relative to document_root, for every path that is no file; empty means 404." source:"none: 404, as by plain try_files $uri =404"`
	Middleware      []string          `conf:"middleware" doc:"What requests to this worker pass, in this order, after router.middleware of tqserver.yaml: names of middlewares." source:"none: only what stands before all workers"`
	User            string            `conf:"user" doc:"User the worker's processes run as; empty means the server's. Needs root." source:"none: the server's own, since another one needs root"`
	Group           string            `conf:"group" doc:"Group the worker's processes run as; empty means the user's own. Needs root." source:"none: the user's own group, as PHP-FPM"`
	Isolation       isolationSettings `conf:"isolation" doc:"Limits of the worker's processes."`
	FastCGI         workerListeners   `conf:"fastcgi" doc:"FastCGI addresses of the worker's own, as a PHP-FPM pool has."`
}

type workerListeners struct {
	Listen         []string           `conf:"listen" doc:"Addresses to accept FastCGI on for this worker only: host:port or unix:path." source:"none: the common addresses of the fastcgi section lead here"`
	SocketMode     *settings.FileMode `conf:"socket_mode" doc:"Permissions of these unix sockets, as a quoted octal number." source:"none: fastcgi.socket_mode of tqserver.yaml"`
	SocketOwner    string             `conf:"socket_owner" doc:"User that owns these unix sockets, by name; another one than the server's needs root." source:"none: the server's own"`
	SocketGroup    string             `conf:"socket_group" doc:"Group of these unix sockets, by name." source:"none: fastcgi.socket_group of tqserver.yaml"`
	AllowedClients []string           `conf:"allowed_clients" doc:"IP addresses that may connect to these addresses by TCP; others are cut off." source:"none: fastcgi.allowed_clients of tqserver.yaml"`
}

// Validate checks what stands alone.
func (l *workerListeners) Validate() []settings.Problem {
	var bad []settings.Problem
	if _, err := fastcgi.AllowAddrs(strings.Join(l.AllowedClients, ",")); err != nil && l.AllowedClients != nil {
		bad = append(bad, settings.Problem{Path: "allowed_clients", Message: err.Error()})
	}
	set := map[string]bool{
		"socket_mode": l.SocketMode != nil, "socket_owner": l.SocketOwner != "", "socket_group": l.SocketGroup != "", "allowed_clients": l.AllowedClients != nil,
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] && len(l.Listen) == 0 {
			bad = append(bad, settings.Problem{Path: name, Message: "has no effect without listen: the worker has no address of its own"})
		}
	}
	return bad
}

func (l *workerListeners) access() api.Access {
	a := api.Access{Owner: l.SocketOwner, Group: l.SocketGroup, Clients: l.AllowedClients}
	if l.SocketMode != nil {
		mode := l.SocketMode.Mode()
		a.Mode = &mode
	}
	return a
}

func defaultWorker() workerSettings {
	return workerSettings{Index: []string{"index.php", "index.html"}}
}

// Validate checks the bounds.
func (c *Config) Validate() []settings.Problem {
	bad := settings.Positive(settings.Bound{Path: "body_memory", Value: int64(c.BodyMemory)},
		settings.Bound{Path: "response_memory", Value: int64(c.ResponseMemory)})
	if c.ResponseFile < 0 {
		bad = append(bad, settings.Problem{Path: "response_file", Message: "must not be below 0"})
	}
	return bad
}
