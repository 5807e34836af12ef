package contestant

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mevdschee/tqserver/cmd/tqbench/usage"
)

// ID names a contestant: in flags, reports and targets.
type ID string

// The contestants.
const (
	NginxFPM          ID = "nginx-fpm"
	NginxFPMKeepalive ID = "nginx-fpm-keepalive"
	NginxTQServer     ID = "nginx-tqserver"
	TQServer          ID = "tqserver"
	ApacheFPM         ID = "apache-fpm"
	CaddyFPM          ID = "caddy-fpm"
	LighttpdCGI       ID = "lighttpd-cgi"
	NetHTTP           ID = "nethttp"
	NginxNetHTTP      ID = "nginx-nethttp"
	CaddyNetHTTP      ID = "caddy-nethttp"
	ReverseProxy      ID = "reverseproxy"
	PluginGRPC        ID = "go-plugin-grpc"
)

// Contestant is a way to serve the site.
type Contestant struct {
	ID    ID
	Title string
	Tools []Tool
	start func(context.Context, *run) error
}

// All returns the contestants in the order of reports.
func All() []Contestant {
	return []Contestant{
		{NginxFPM, "nginx + php-fpm, a new connection per request (its default)", []Tool{Nginx, PHPFPM}, startNginxFPM(false)},
		{NginxFPMKeepalive, "nginx + php-fpm, kept connections", []Tool{Nginx, PHPFPM}, startNginxFPM(true)},
		{ApacheFPM, "Apache mod_proxy_fcgi + php-fpm", []Tool{Apache, PHPFPM}, startApache},
		{CaddyFPM, "Caddy php_fastcgi + php-fpm", []Tool{Caddy, PHPFPM}, startCaddyFPM},
		{LighttpdCGI, "lighttpd with php-cgi of its own", []Tool{Lighttpd, PHPCGI}, startLighttpd},
		{NginxNetHTTP, "nginx, proxy_pass to net/http by unix socket, kept connections", []Tool{Nginx, Peer}, startNginxNetHTTP},
		{CaddyNetHTTP, "Caddy, reverse_proxy to net/http by unix socket", []Tool{Caddy, Peer}, startCaddyNetHTTP},
		{ReverseProxy, "httputil.ReverseProxy to net/http by unix socket", []Tool{Peer}, startReverseProxy},
		{PluginGRPC, "net/http, each request a gRPC call over go-plugin", []Tool{Peer}, startPlugin},
		{NetHTTP, "net/http alone", []Tool{Peer}, startNetHTTP},
		{NginxTQServer, "nginx, FastCGI to TQServer, kept connections", []Tool{Nginx, Server}, startNginxTQServer},
		{TQServer, "TQServer's HTTP front", []Tool{Server}, startTQServer},
	}
}

// By finds a contestant.
func By(id ID) (Contestant, bool) {
	all := All()
	i := slices.IndexFunc(all, func(c Contestant) bool { return c.ID == id })
	if i < 0 {
		return Contestant{}, false
	}
	return all[i], true
}

// App says what a contestant serves and how.
type App struct {
	PHP       bool // the scripts, at /
	Go        bool // hello at /go, as an application written in Go
	Processes int  // that run PHP, at most
	Dynamic   bool // PHP-FPM starts with two processes and adds others
	// Pools, above 0, is a number of applications, at /w0001 and so on, each
	// with PHP processes of its own that are started when they are needed.
	Pools int
}

// PoolPath is the path of the nth application, from 1.
func PoolPath(n int) string { return fmt.Sprintf("/w%04d", n) }

// Running is a contestant that serves.
type Running struct {
	ID     ID
	URL    string // http://127.0.0.1:port
	Dir    string // its folder
	Family *usage.Family
	procs  []*process
}

// run is a start that goes on.
type run struct {
	*Running
	site *Site
	app  App
	port string
	ids  []int
}

// startTries is how often a start is tried: a port that is free now can be
// taken before the server has it.
const startTries = 3

// Start starts the contestant and returns when its programs run; the caller
// asks for an answer, and calls Stop.
func (c Contestant) Start(ctx context.Context, s *Site, app App) (*Running, error) {
	var errs []error
	for range startTries {
		r, err := c.try(ctx, s, app)
		if err == nil {
			return r, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil || !strings.Contains(err.Error(), "in use") {
			break
		}
	}
	return nil, fmt.Errorf("starting %s: %w", c.ID, errors.Join(errs...))
}

func (c Contestant) try(ctx context.Context, s *Site, app App) (*Running, error) {
	dir, err := os.MkdirTemp(s.Dir, "c") // short: unix sockets
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Apache's processes are another user's
		return nil, fmt.Errorf("folder: %w", err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	r := &run{Running: &Running{ID: c.ID, URL: "http://127.0.0.1:" + port, Dir: dir}, site: s, app: app, port: port}
	if err := c.start(ctx, r); err != nil {
		r.Stop()
		return nil, err
	}
	r.Family = usage.NewFamily(r.ids...)
	return r.Running, nil
}

// Err says whether one of the programs has ended.
func (r *Running) Err() error {
	for _, p := range r.procs {
		if err := p.err(); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends all programs, the web server first.
func (r *Running) Stop() {
	for _, p := range slices.Backward(r.procs) {
		p.stop()
	}
	r.procs = nil
}

// launch starts one of the programs.
func (r *run) launch(name, path string, args ...string) (*process, error) {
	p, err := launch(r.Dir, name, path, args...)
	if err != nil {
		return nil, err
	}
	r.procs, r.ids = append(r.procs, p), append(r.ids, p.cmd.Process.Pid)
	return p, nil
}

// fill replaces words in braces in a configuration and writes it to a file of
// the contestant's folder, whose path it returns.
func (r *run) fill(name, text string, more ...string) (string, error) {
	words := append([]string{
		"{dir}", r.Dir, "{public}", r.site.Public, "{ini}", r.site.INI, "{port}", r.port, "{processes}", strconv.Itoa(r.app.Processes),
		"{php-cgi}", r.site.Tools[PHPCGI], "{peer}", r.site.Tools[Peer],
	}, more...)
	path := filepath.Join(r.Dir, name)
	if err := writeFile(path, strings.NewReplacer(words...).Replace(text)); err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return path, nil
}

// asRoot is text when this runs as root, which some programs want to know.
func asRoot(text string) string {
	if os.Getuid() == 0 {
		return text
	}
	return ""
}
