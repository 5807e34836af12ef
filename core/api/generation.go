package api

import (
	"context"
	"sync"
)

// Front is a Service of the group `fronts` that lets a newer generation take
// over without losing a request or a kept connection. One that is only a Service
// serves from Start on, and is stopped when a newer one has switched.
type Front interface {
	Service
	// Switch sends every next request to this generation. Start binds all that
	// may fail, and Switch, called once after the Start of every part, does not.
	Switch()
	// Retire is called after the Switch of a newer generation. What that one did
	// not carry over takes no new connections, and its connections end after
	// their next answer; Retire returns when they have, or ends them with ctx.
	Retire(ctx context.Context) error
}

// Reloading says that this generation is made while another one serves. Then a
// part whose own file is wrong (a worker.yaml) may go on as it is, or stay away
// if it is new, and tell by a Report, where a first start would be refused.
type Reloading bool

// Refused is what parts of a generation were refused in this reload. Zero is ready.
// A generation that is built again from the same configuration finds it there, and
// leaves these parts as they are.
type Refused struct {
	mu  sync.Mutex
	why map[string]error
}

// Refuse notes why the part cannot be taken over, and returns that as a Refusal. The
// key says which part in which version.
func (r *Refused) Refuse(key string, why error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.why == nil {
		r.why = map[string]error{}
	}
	r.why[key] = why
	return &Refusal{why}
}

// Why returns what was noted of a part, nil when nothing was.
func (r *Refused) Why(key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.why[key]
}

// Refusal is an error of a Start, or of a deep Check, during a reload that concerns
// one part, which can go on as it is. When all that is wrong are refusals, the
// generation is built again.
type Refusal struct{ Why error }

// Error is that of Why.
func (r *Refusal) Error() string { return r.Why.Error() }

// Unwrap returns Why.
func (r *Refusal) Unwrap() error { return r.Why }

// Report says what is wrong with parts that go on in an older version, each with
// its file, line and path. Modules contribute theirs to the group `reports`; it is
// called after Start.
type Report func() error

// Preparer is what a Service may implement to do before Start what takes its own
// time, whatever a start may take: building programs. It ends soon after ctx. An
// error is as one of Start.
type Preparer interface {
	Prepare(ctx context.Context) error
}

// Planner is what a Service may implement to say, before its Start, what that
// would change.
type Planner interface {
	Plan() []Change
}

// Change is one line of a plan.
type Change struct {
	Kind ChangeKind `json:"kind"`
	// What is "worker blog" or "http.listen 127.0.0.1:8080".
	What string `json:"what"`
	// Why may be empty, as for what is kept.
	Why string `json:"why,omitempty"`
}

// ChangeKind is what happens to a thing on a reload.
type ChangeKind string

// The kinds of changes.
const (
	ChangeKept     ChangeKind = "kept"
	ChangeStarted  ChangeKind = "started"
	ChangeReplaced ChangeKind = "replaced"
	ChangeStopped  ChangeKind = "stopped"
)

// Watcher is what a Service may implement to name the files it was made from.
// With server.watch the server is reloaded when one of them changes, comes or
// goes. A name may be a pattern of filepath.Glob, whose meta characters do not
// stand in the names of the folders above its last two elements.
type Watcher interface {
	Watch() []string
}
