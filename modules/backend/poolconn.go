package backend

import (
	"bytes"
	"net"

	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// lineMost bounds one line of a worker's FCGI_STDERR; a longer one is logged
// in pieces.
const lineMost = 64 << 10

// poolConn is a kept connection and where it belongs.
type poolConn struct {
	*fastcgi.Conn
	set      *lentSet
	endpoint int

	call *call  // whose request it carries; for the log
	line []byte // of FCGI_STDERR, not ended yet
}

func newPoolConn(nc net.Conn, g grant) *poolConn {
	c := &poolConn{set: g.set, endpoint: g.at}
	c.Conn = fastcgi.NewConn(nc, fastcgi.ConnOptions{Stderr: c.stderr, Extended: true})
	return c
}

// begin says whose request the connection carries from now on.
func (c *poolConn) begin(of *call) { c.call = of }

// end forgets the request; what it wrote to FCGI_STDERR is all in the log.
func (c *poolConn) end() {
	c.logLine(c.line)
	c.line = c.line[:0]
	c.call = nil
}

// stderr makes whole log lines of what PHP reports, in pieces as it came.
func (c *poolConn) stderr(piece []byte) {
	for len(piece) > 0 {
		part, rest, ended := bytes.Cut(piece, []byte{'\n'})
		if room := lineMost - len(c.line); len(part) > room {
			part, rest, ended = piece[:room], piece[room:], true
		}
		c.line = append(c.line, part...)
		piece = rest
		if ended {
			c.logLine(c.line)
			c.line = c.line[:0]
		}
	}
}

func (c *poolConn) logLine(line []byte) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || c.call == nil {
		return
	}
	c.call.log.Warn(string(line), "source", "FCGI_STDERR", "path", c.call.r.URL.Path, "script", c.call.script)
}
