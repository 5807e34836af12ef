package backend

import (
	"io"
	"net"
	"time"

	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// wire is a kept connection as the pool and the way of an answer see it,
// whatever is spoken there: a *fastcgi.Conn, or a *httpConn. How a request is
// sent, and its answer's head read, is each protocol's own.
type wire interface {
	// Read reads the body of the answer; io.EOF is its end. Ended says that the
	// next Read returns that at once. Trailers are there then.
	Read(p []byte) (int, error)
	Ended() bool
	Trailers() fastcgi.Params
	// ReadFrom and CloseStdin send what an upgraded connection carries, Abort
	// asks the process to end it.
	ReadFrom(r io.Reader) (int64, error)
	CloseStdin() error
	Abort() error
	// Reusable says whether it can carry another request, Alive whether one that
	// can is still connected to a process.
	Reusable() bool
	Alive() bool

	NetConn() net.Conn
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	Close() error
}
