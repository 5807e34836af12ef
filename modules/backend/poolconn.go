package backend

import (
	"bytes"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// lineMost bounds one line of a worker's FCGI_STDERR; a longer one is logged
// in pieces.
const lineMost = 64 << 10

// trusted is for how long an idle connection is believed to live without a
// look. Who writes to a unix socket whose other end has gone is told so, and
// then nothing of the request was sent; the look is for strays the process wrote.
const trusted = time.Second

// fate is what the pool's watch has decided about a running request.
type fate int

const (
	running fate = iota
	timedOut
	clientGone
)

// poolConn is a kept connection and where it belongs. As php-cgi has one
// connection to a process, it stands for the process as well.
type poolConn struct {
	wire
	fcgi     *fastcgi.Conn // what wire is where FastCGI is spoken
	http     *httpConn     // and where HTTP is
	set      *lentSet
	endpoint int
	inode    sdk.Connection // 0 when it cannot be told
	line     []byte         // of FCGI_STDERR, not ended yet

	// Of the pool, under its lock.
	call     *call     // whose request it carries or carried last
	place    int       // in pool.busy, -1 when it has no request
	fate     fate      // of the request it carries
	unbound  bool      // it is upgraded, and lasts as long as it may
	measure  bool      // its process's memory is to be looked at
	requests int       // that it has carried
	limit    int       // of requests, 0 for none
	dies     time.Time // its process's time is over then; zero for never
	last     time.Time // when its last request ended
	brief    brief     // what it was
	looked   looked
}

func newPoolConn(nc net.Conn, g grant, config poolSettings) *poolConn {
	c := &poolConn{set: g.set, endpoint: g.at, place: -1, inode: inode(nc), last: time.Now()}
	// Not all at once, as they began: a tenth of their life is by chance.
	if n := config.MaxRequests; n > 0 {
		c.limit = n - rand.N(n/10+1) //nolint:gosec // spreading, not secrecy
	}
	if d := config.MaxAge; d > 0 {
		c.dies = c.last.Add(d - rand.N(d/10+1)) //nolint:gosec // spreading, not secrecy
	}
	if g.set.Endpoints[g.at].Protocol != sdk.HTTP {
		c.fcgi = fastcgi.NewConn(nc, fastcgi.ConnOptions{Stderr: c.stderr, Extended: true})
		c.wire = c.fcgi
		return c
	}
	c.http = newHTTPConn(nc)
	c.wire = c.http
	return c
}

// live says whether a connection that was idle can be believed to live. after
// is set when another one has just turned out not to.
func (c *poolConn) live(after bool) bool {
	return c.fcgi != nil && !after && time.Since(c.last) < trusted || c.Alive()
}

// inode is the number of the socket, by which a plugin finds who serves it.
func inode(nc net.Conn) (n sdk.Connection) {
	conn, ok := nc.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		var st syscall.Stat_t
		if syscall.Fstat(int(fd), &st) == nil {
			n = sdk.Connection(st.Ino)
		}
	})
	return n
}

// flush logs what is left of the process's words.
func (c *poolConn) flush() {
	if len(c.line) > 0 {
		c.logLine(c.line)
		c.line = c.line[:0]
	}
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
