package front

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// Server serves the connections of one door.
type Server interface {
	// Serve accepts from l until l is closed.
	Serve(l net.Listener) error
	// Retire ends Serve, whose listener is closed, and makes every connection end
	// after its next answer. None is closed that a request may be on its way on.
	Retire()
	// Conns is how many connections are open.
	Conns() int
	// Shutdown closes the connections without a request, and the others after
	// their answer; it returns when none is left, or with ctx's error.
	Shutdown(ctx context.Context) error
	// Close closes all connections.
	Close() error
}

// Changer is a Server that takes over other settings with its connections open.
type Changer interface {
	Change(settings any)
}

// Entry is a door as a configuration wants it.
type Entry struct {
	// Setting names it in messages: "http.listen[0]".
	Setting string
	// Where, if not empty, is its name with file and line, for what is wrong with it.
	Where   string
	Address string
	File    api.SocketFile
	// Route says what the door leads to; doors of one route lead to the same. A
	// door that is carried over may get another one.
	Route   string
	Handler http.Handler
	// Settings are those of the server. When they are the same (reflect.DeepEqual),
	// or the server is a Changer, it is carried over.
	Settings any
	// New makes the server, which leads to the handler given.
	New func(http.Handler) Server
}

// where names the entry in an error.
func (e *Entry) where() string {
	if e.Where != "" {
		return e.Where
	}
	return e.Setting
}

// retirePoll is how often the end of a retiring door's connections is looked for.
const retirePoll = 20 * time.Millisecond

// door is an address with its server.
type door struct {
	setting  string
	address  string
	n        int // of the doors with one address, as ":0"
	listener net.Listener
	server   Server
	handler  handler
	failed   api.Failed
	served   chan struct{} // closed when Serve has returned

	// Guarded by Doors.mu.
	owner    *Front // the newest generation that took it
	route    string // of the owner's entry, as the next two
	file     api.SocketFile
	settings any
	grant    net.Listener // holds the socket's file to file, if it is not that of the listener
	retiring bool         // a newer generation did not take it
}

func newDoor(e *Entry, n int, l net.Listener, failed api.Failed) *door {
	d := &door{setting: e.Setting, address: e.Address, n: n, listener: l, failed: failed, served: make(chan struct{}), file: e.File, settings: e.Settings}
	d.server = e.New(&d.handler)
	return d
}

// carries says whether the door can be what e wants, with its connections.
func (d *door) carries(e *Entry) bool {
	_, can := d.server.(Changer)
	return can || reflect.DeepEqual(d.settings, e.Settings)
}

// same says that nothing of the door changes but where it leads.
func (d *door) same(e *Entry) bool {
	return d.file == e.File && reflect.DeepEqual(d.settings, e.Settings)
}

// adopt makes the door what e wants. Doors.mu is held.
func (d *door) adopt(e *Entry, grant net.Listener) {
	if grant != nil {
		d.release()
		d.grant = grant
	}
	if !reflect.DeepEqual(d.settings, e.Settings) {
		d.server.(Changer).Change(e.Settings) //nolint:forcetypeassert // carries has asked
	}
	d.route, d.file, d.settings = e.Route, e.File, e.Settings
}

// release gives grant back.
func (d *door) release() {
	if d.grant != nil {
		_ = d.grant.Close()
	}
}

// serve accepts until the listener is closed.
func (d *door) serve() {
	defer close(d.served)
	if err := d.server.Serve(d.listener); !errors.Is(err, net.ErrClosed) {
		d.failed(fmt.Errorf("%s: serving %s: %w", d.setting, d.listener.Addr(), err))
	}
}

// retire lets the connections end by themselves until ctx ends.
func (d *door) retire(ctx context.Context) error {
	d.shut()
	tick := time.NewTicker(retirePoll)
	defer tick.Stop()
	for d.server.Conns() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return d.cut(ctx)
		}
	}
	return d.stop(ctx)
}

// cut closes what has outstayed its time; idle connections are no loss.
func (d *door) cut(ctx context.Context) error {
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), retirePoll)
	defer cancel()
	return d.stop(short)
}

// stop takes no new requests and lets the running ones end until ctx does.
func (d *door) stop(ctx context.Context) error {
	d.shut()
	err := d.server.Shutdown(ctx)
	if err != nil {
		_ = d.server.Close()
		err = fmt.Errorf("%s %s: requests cut off, they did not finish in time: %w", d.setting, d.address, err)
	}
	return err
}

// shut accepts nothing more. Serve has returned then, and the server knows of every
// connection: http.Server.Shutdown does not wait for one that Serve is just about to
// take. It may be called twice.
func (d *door) shut() {
	_ = d.listener.Close()
	d.server.Retire()
	<-d.served
}
