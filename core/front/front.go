package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/mevdschee/tqserver/core/api"
)

// Doors are the open doors of a module, of all its generations. Zero is ready.
type Doors struct {
	mu   sync.Mutex
	open []*door
}

// Deps is what a Front needs of the server.
type Deps struct {
	// Doors are kept by the module from one generation to the next.
	Doors *Doors
	// Requests of the generation.
	Requests *Requests
	Listen   api.Listen
	Claim    api.Claim
	// Failed is told when a listener breaks.
	Failed api.Failed
	Log    *slog.Logger
	// Message is logged for every door that opens: "serving HTTP".
	Message string
}

// Front implements api.Front and api.Planner for a module: the doors of one generation.
type Front struct {
	Deps
	entries []Entry

	// Guarded by Doors.mu.
	taken []taken // by Start, as the entries; nil after a Start that was undone
}

// taken is the door of an entry.
type taken struct {
	*door
	fresh bool         // opened by Start
	grant net.Listener // for the other mode or group of a socket of before
}

var (
	_ api.Front   = (*Front)(nil)
	_ api.Planner = (*Front)(nil)
)

// New returns the front with these doors; nothing is open before Start.
func New(entries []Entry, d Deps) *Front {
	return &Front{Deps: d, entries: entries}
}

// Check claims every address.
func (f *Front) Check(context.Context, bool) error {
	errs := make([]error, 0, len(f.entries))
	for _, e := range f.entries {
		errs = append(errs, f.Claim(e.where(), e.Address))
	}
	return errors.Join(errs...)
}

// Start opens the doors that are not open yet, or have other settings. The
// error tells of all that cannot be opened.
func (f *Front) Start(context.Context) error {
	f.Doors.mu.Lock()
	defer f.Doors.mu.Unlock()
	var errs []error
	for i := range f.entries {
		e := &f.entries[i]
		n := f.nth(i)
		before := f.Doors.find(e.Address, n)
		carried := before != nil && before.carries(e)
		if carried && before.file == e.File {
			f.taken = append(f.taken, taken{door: before})
			continue
		}
		l, err := f.Listen(e.where(), address(e, before), e.File)
		switch {
		case err != nil:
			errs = append(errs, f.explain(err, e))
		case carried:
			f.taken = append(f.taken, taken{door: before, grant: l})
		default:
			f.taken = append(f.taken, taken{door: newDoor(e, n, l, f.Failed), fresh: true})
		}
	}
	if err := errors.Join(errs...); err != nil {
		f.undo()
		return err
	}
	return nil
}

// nth is how many entries before i have its address.
func (f *Front) nth(i int) int {
	n := 0
	for _, e := range f.entries[:i] {
		if e.Address == f.entries[i].Address {
			n++
		}
	}
	return n
}

// address is where to listen: a port that the kernel chose is kept.
func address(e *Entry, before *door) string {
	if before != nil && strings.HasSuffix(e.Address, ":0") && !strings.HasPrefix(e.Address, "unix:") {
		return before.listener.Addr().String()
	}
	return e.Address
}

// explain says when it is a door of the server's own that is in the way.
func (f *Front) explain(err error, e *Entry) error {
	_, port, splitErr := net.SplitHostPort(e.Address)
	if !errors.Is(err, syscall.EADDRINUSE) || splitErr != nil {
		return err
	}
	for _, d := range f.Doors.open {
		if _, other, err := net.SplitHostPort(d.listener.Addr().String()); err == nil && other == port {
			return fmt.Errorf("%w; it is this server itself, at %s: take that address out, reload, then put this one in", err, d.address)
		}
	}
	return err
}

// find returns the door that is open at the address. mu is held.
func (s *Doors) find(address string, n int) *door {
	for _, d := range s.open {
		if d.address == address && d.n == n && !d.retiring {
			return d
		}
	}
	return nil
}

// Switch leads all doors to this generation: those it has, and those it retires
// as long as they have a route here, so that nothing but running requests holds
// the generation before.
func (f *Front) Switch() {
	f.Doors.mu.Lock()
	defer f.Doors.mu.Unlock()
	routes := map[string]*target{}
	for i, d := range f.taken {
		e := &f.entries[i]
		t := &target{e.Handler, f.Requests}
		routes[e.Route] = t
		d.handler.lead(t)
		d.adopt(e, d.grant)
		d.owner = f
	}
	for _, d := range f.Doors.open {
		if d.owner == f {
			continue
		}
		d.retiring = true
		if t := routes[d.route]; t != nil {
			d.handler.lead(t)
		}
	}
	for _, d := range f.taken {
		if d.fresh {
			f.Log.Info(f.Message, "address", d.listener.Addr().String(), "network", d.listener.Addr().Network())
			f.Doors.open = append(f.Doors.open, d.door)
			go d.serve()
		}
	}
	f.taken = nil
}

// Retire closes the doors that no newer generation took over; their connections
// may end by themselves until ctx ends.
func (f *Front) Retire(ctx context.Context) error {
	return f.close(ctx, (*door).retire)
}

// Stop closes the doors. After a Start without Switch it undoes that.
func (f *Front) Stop(ctx context.Context) error {
	f.Doors.mu.Lock()
	f.undo()
	f.Doors.mu.Unlock()
	return f.close(ctx, (*door).stop)
}

// undo closes what Start has opened. mu is held.
func (f *Front) undo() {
	for _, d := range f.taken {
		if d.grant != nil {
			_ = d.grant.Close()
		}
		if d.fresh {
			_ = d.listener.Close()
		}
	}
	f.taken = nil
}

// close ends the doors of this generation, all at once.
func (f *Front) close(ctx context.Context, end func(*door, context.Context) error) error {
	f.Doors.mu.Lock()
	var mine []*door
	for _, d := range f.Doors.open {
		if d.owner == f {
			d.retiring = true
			mine = append(mine, d)
		}
	}
	f.Doors.mu.Unlock()
	errs := make([]error, len(mine))
	var ending sync.WaitGroup
	for i, d := range mine {
		ending.Go(func() {
			errs[i] = end(d, ctx)
			d.release()
			f.Doors.forget(d)
		})
	}
	ending.Wait()
	return errors.Join(errs...)
}

// forget takes out a door of which nothing runs any more.
func (s *Doors) forget(d *door) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.open, d)
	if i < 0 {
		return // by Stop during Retire
	}
	s.open = slices.Delete(s.open, i, i+1)
	d.handler.now.Load().requests.leave()
}

// Plan says which doors would be kept, opened, replaced and closed.
func (f *Front) Plan() []api.Change {
	f.Doors.mu.Lock()
	defer f.Doors.mu.Unlock()
	var plan []api.Change
	wanted := map[*door]bool{}
	for i := range f.entries {
		e := &f.entries[i]
		change := api.Change{Kind: api.ChangeStarted, What: e.Setting + " " + e.Address}
		if before := f.Doors.find(e.Address, f.nth(i)); before != nil {
			wanted[before] = true
			switch {
			case before.same(e):
				change.Kind = api.ChangeKept
			case before.carries(e):
				change.Kind, change.Why = api.ChangeKept, "takes over other settings, connections stay open"
			default:
				change.Kind, change.Why = api.ChangeReplaced, "other settings: the socket stays open, connections end after their next answer"
			}
		}
		plan = append(plan, change)
	}
	for _, d := range f.Doors.open {
		if !wanted[d] && !d.retiring {
			plan = append(plan, api.Change{Kind: api.ChangeStopped, What: d.setting + " " + d.address, Why: "no longer configured"})
		}
	}
	return plan
}
