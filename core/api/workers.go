package api

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"

	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// Worker is a hosted application as fronts and router see it.
type Worker struct {
	Name string
	// Hosts narrows the worker to these host names; empty means any.
	Hosts []string
	// Path is the URL prefix, "/" or "/blog", without a trailing slash; empty when
	// only the worker's own addresses lead to it.
	Path string
	// Listen lists the worker's own FastCGI addresses; Access says who may
	// connect to them.
	Listen []string
	Access Access
	// Middleware names what stands before Handler, the first outermost.
	Middleware []string
	// Where says in which file and line a setting of the worker stands; nil when
	// nobody knows.
	Where Where
	// ScriptRoot is the worker's document root as configured, absolute and clean; empty
	// for a worker without one. RealRoot, for a root behind a symlink only, is where it
	// leads now, which a deployment may change. What SCRIPT_FILENAME names below either
	// is the worker's, of several the one with the longest root.
	ScriptRoot string
	RealRoot   func() (string, error)
	// Handler serves the worker's requests.
	Handler http.Handler
}

// Workers is every worker of this generation, in the order of their names.
type Workers []Worker

// Router finds the worker for a request.
type Router interface {
	http.Handler
	// ForWorker serves every request by the named worker: that is how a
	// worker's own socket works.
	ForWorker(name string) (http.Handler, error)
}

// FileServer serves a static file that has been found and allowed.
type FileServer interface {
	// ServeFile answers with the file's content: conditional and range
	// requests, type by extension. It closes nothing and reads path afresh.
	ServeFile(w http.ResponseWriter, r *http.Request, path string)
}

// FastCGI is what a request that came by FastCGI carries in its context.
type FastCGI struct {
	// Params as the web server sent them, folded names made one.
	Params fastcgi.Params
	// Stderr writes to the web server's error log (FCGI_STDERR).
	Stderr io.Writer
	// ByRoute is set when SCRIPT_FILENAME named no script of a worker and the
	// URL decides, as for a request by HTTP.
	ByRoute bool
}

type fastCGIKey struct{}

// WithFastCGI returns ctx with what came by FastCGI.
func WithFastCGI(ctx context.Context, f *FastCGI) context.Context {
	return context.WithValue(ctx, fastCGIKey{}, f)
}

// FastCGIFrom returns what came by FastCGI, nil for a request that came by HTTP.
func FastCGIFrom(ctx context.Context) *FastCGI {
	f, _ := ctx.Value(fastCGIKey{}).(*FastCGI)
	return f
}

// Where returns the file, line and path of a setting, as messages begin.
type Where func(path string) string

// Listen opens an address, "host:port" or "unix:path", for the setting named.
// The socket may outlive the listener: closing gives it back.
type Listen func(setting, address string, file SocketFile) (net.Listener, error)

// Claim notes that a setting ("http.listen[0]") will listen on an address, and
// fails when another one does: who connects there would reach either.
type Claim func(setting, address string) error

// SocketFile says who may connect to a unix socket.
type SocketFile struct {
	Mode fs.FileMode
	// Owner and Group by name; empty means the server's own.
	Owner, Group string
}

// Access says who may connect to the FastCGI addresses of a worker's own; what it
// leaves out is as for the common addresses.
type Access struct {
	// Mode of the unix sockets; nil is that of the common ones.
	Mode *fs.FileMode
	// Owner and Group of the unix sockets, by name.
	Owner, Group string
	// Clients that may connect by TCP, IP addresses and networks.
	Clients []string
}

// Service is a part of the server that runs. Those in the group `backends` run
// the workers; those in the group `fronts` take requests from outside, start
// after the backends and stop before them, all at once. Those in the group
// `outlooks` show the server to operators: they start last and stop last.
type Service interface {
	// Start returns when the part serves, in the background, or with the reason
	// why it does not. It ends soon after ctx, and nothing of it goes on then.
	Start(ctx context.Context) error
	// Stop returns when nothing of it runs any more. A front takes no new
	// requests, and cuts the running ones off when ctx ends. It may be called
	// without Start, and twice.
	Stop(ctx context.Context) error
}

// Check reports everything in a module's reach that would keep the server from
// starting, and leaves nothing running. Without deep it starts no process. It is
// where mistakes of the configuration belong that a section's own decoding
// cannot see: constructors do not fail for them, so that all are told at once.
type Check func(ctx context.Context, deep bool) error

// Drain takes no new requests and returns when the running ones have ended or
// ctx has; it is called when all fronts have stopped.
type Drain func(ctx context.Context) error

// Failed tells the server that a part cannot go on.
type Failed func(error)

// Runtime is what a module may know of the process it runs in.
type Runtime struct {
	// Executable is the server's own binary, absolute.
	Executable string
	// Folder is private to this run and removed after it.
	Folder string
	// Version of the server.
	Version string
	// Development says that somebody works on the workers (serve --dev): their
	// sources are watched, and mistakes in them may be shown to clients.
	Development bool
}
