// Package control is how commands reach the running server: HTTP over a unix
// socket that only the server's own user and root may use. Server and client are
// of one binary; the protocol is nobody else's.
package control

import (
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// Info says which server answers.
type Info struct {
	PID        int       `json:"pid"`
	Version    string    `json:"version"`
	Started    time.Time `json:"started"`
	Generation int       `json:"generation"` // how many configurations it has served, this one included
	// Problems of the last reload: of workers that go on in an older version, or stay
	// away, a line each.
	Problems string `json:"problems,omitempty"`
}

// Reloaded is what a reload did, or would do.
type Reloaded struct {
	Changes []api.Change `json:"changes"`
	// Problems of workers that go on in an older version, a line each; empty when
	// there are none.
	Problems string `json:"problems,omitempty"`
}

// MaxWait bounds every call, whatever the client asks for.
const MaxWait = time.Hour
