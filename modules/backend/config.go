package backend

import (
	"time"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Section is the part of the configuration that turns this module on.
var Section = conf.NewSection("backend", DefaultConfig)

// Config of the backend module; the workers' own settings stand in their folders.
type Config struct {
	Workers        string         `conf:"workers" doc:"Folder that holds the workers, one folder each with config/worker.yaml."`
	BodyMemory     settings.Bytes `conf:"body_memory" doc:"How much of a request body for PHP is kept in memory; what is more goes to a temporary file."`
	ResponseMemory settings.Bytes `conf:"response_memory" doc:"How much of a response its client has not taken yet is kept in memory; what is more goes to a temporary file."`
	ResponseFile   settings.Bytes `conf:"response_file" doc:"Largest temporary file of one response; then PHP waits for the client. 0 means no file."`
}

// DefaultConfig has nginx's fastcgi_max_temp_file_size (1 GiB), and more
// memory than its client_body_buffer_size (16 kB) and fastcgi_buffers (32 kB):
// a form or a page should never touch the disk.
func DefaultConfig() Config {
	return Config{Workers: "workers", BodyMemory: 64 << 10, ResponseMemory: 256 << 10, ResponseFile: 1 << 30}
}

// workerSettings is worker.yaml, but for the section named by its type.
type workerSettings struct {
	Path            string          `conf:"path" doc:"URL prefix of the worker: / or /blog."`
	Hosts           []string        `conf:"hosts" doc:"Host names the worker answers to; none means any."`
	Type            string          `conf:"type" doc:"What runs the worker, php or go; its settings stand in the section of that name."`
	DocumentRoot    string          `conf:"document_root" doc:"Folder of scripts and static files, relative to the worker's folder; needed by php."`
	Index           []string        `conf:"index" doc:"Files that answer for a folder, the first that exists."`
	FrontController string          `conf:"front_controller" doc:"Script, relative to document_root, for every path that is no file; empty means 404."`
	User            string          `conf:"user" doc:"User the worker's processes run as; empty means the server's. Needs root."`
	Group           string          `conf:"group" doc:"Group the worker's processes run as; empty means the user's own. Needs root."`
	FastCGI         workerListeners `conf:"fastcgi" doc:"FastCGI addresses of the worker's own, as a PHP-FPM pool has."`
}

type workerListeners struct {
	Listen []string `conf:"listen" doc:"Addresses to accept FastCGI on for this worker only: host:port or unix:path."`
}

func defaultWorker() workerSettings {
	return workerSettings{Index: []string{"index.php", "index.html"}}
}

// poolSettings is the pool section below the worker's type.
type poolSettings struct {
	MaxWorkers     int           `conf:"max_workers" doc:"How many requests run at once; for php, its processes."`
	Queue          queueSettings `conf:"queue" doc:"Where requests wait for a free process."`
	RequestTimeout time.Duration `conf:"request_timeout" doc:"Longest time a request may run; then the client gets 504."`
}

type queueSettings struct {
	Length int           `conf:"length" doc:"How many requests may wait; one more gets 503. 0 means none waits."`
	Wait   time.Duration `conf:"wait" doc:"Longest time a request waits; then it gets 503."`
}

// defaultPool: 5 children are PHP-FPM's default in Debian (pm.max_children).
func defaultPool() poolSettings {
	return poolSettings{
		MaxWorkers:     5,
		Queue:          queueSettings{Length: 256, Wait: 10 * time.Second},
		RequestTimeout: 30 * time.Second,
	}
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
