package backend

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/sdk/cgi"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
	"github.com/mevdschee/tqserver/sdk/sockio"
)

// keepAliveMargin is how long before its process closes an idle connection it is
// not used any more: a request that crosses the close on its way would be lost.
const keepAliveMargin = time.Second

// httpConn is a kept connection to an endpoint that speaks HTTP/1.1. net/http
// writes requests and reads answers; who does so is the goroutine that has the
// request, and for a body one more, so that the pool's deadlines are the
// connection's own, and what was sent is known.
type httpConn struct {
	nc   net.Conn
	in   *bufio.Reader // of headRoom
	room int64         // how much may still come of a head
	out  *bufio.Writer

	// The request it carries.
	sent    bool        // some of it
	whole   atomic.Bool // all of it was sent
	request *http.Request
	res     *http.Response
	ended   bool      // nothing follows of the answer
	until   time.Time // its process has promised to keep it; zero for no promise
}

func newHTTPConn(nc net.Conn) *httpConn {
	c := &httpConn{nc: nc}
	c.in, c.out = bufio.NewReader(headRoom{c}), bufio.NewWriter(sentNote{c})
	return c
}

// headRoom reads from the connection, and bounds heads.
type headRoom struct{ *httpConn }

func (c headRoom) Read(p []byte) (int, error) {
	if c.room <= 0 {
		return 0, cgi.ErrHeadTooLarge
	}
	n, err := c.nc.Read(p[:min(int64(len(p)), c.room)])
	c.room -= int64(n)
	return n, err
}

// sentNote writes to the connection, and knows whether anything has left.
type sentNote struct{ *httpConn }

func (c sentNote) Write(p []byte) (int, error) {
	n, err := c.nc.Write(p)
	c.sent = c.sent || n > 0
	return n, err
}

// plainWriter hides ReadFrom, in whose midst nothing could be flushed.
type plainWriter struct {
	io.Writer
	io.ByteWriter
	io.StringWriter
}

// write sends a request with its body, and is whole when that was.
func (c *httpConn) write(r *http.Request) error {
	err := r.Write(plainWriter{c.out, c.out, c.out})
	if err == nil {
		err = c.out.Flush()
	}
	c.whole.Store(err == nil)
	return err
}

// begin makes it ready for the next request.
func (c *httpConn) begin(r *http.Request) {
	c.request, c.res, c.sent, c.ended = r, nil, false, false
	c.whole.Store(false)
	c.out.Reset(sentNote{c})
}

// head reads the next head of the answer.
func (c *httpConn) head() (*http.Response, error) {
	c.room = cgi.DefaultMaxHead
	res, err := http.ReadResponse(c.in, c.request)
	c.room = math.MaxInt64
	if err != nil {
		return nil, err
	}
	c.res, c.ended = res, res.Body == http.NoBody
	c.promise(res.Header.Get("Keep-Alive"))
	return res, nil
}

// promise reads the header in which Node and others say for how many seconds
// they keep an idle connection.
func (c *httpConn) promise(keepAlive string) {
	c.until = time.Time{}
	for param := range strings.SplitSeq(keepAlive, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if seconds, err := strconv.ParseUint(value, 10, 31); err == nil && strings.EqualFold(name, "timeout") {
			c.until = time.Now().Add(time.Duration(seconds)*time.Second - keepAliveMargin)
		}
	}
}

// Read implements wire. The last bytes come without io.EOF.
func (c *httpConn) Read(p []byte) (int, error) {
	switch {
	case c.res != nil && c.res.StatusCode == http.StatusSwitchingProtocols:
		return c.in.Read(p)
	case c.ended || c.res == nil:
		return 0, io.EOF
	}
	n, err := c.res.Body.Read(p)
	if err == io.EOF { // the end itself, not what broke it off
		c.ended = true
		if n > 0 {
			err = nil
		}
	}
	return n, err
}

// Ended implements wire.
func (c *httpConn) Ended() bool { return c.ended }

// Trailers implements wire.
func (c *httpConn) Trailers() fastcgi.Params { return pairs(c.res.Trailer) }

// ReadFrom implements wire.
func (c *httpConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.nc, r) }

// CloseStdin implements wire: the process of an upgraded connection reads an end
// of file, as when the client had left.
func (c *httpConn) CloseStdin() error {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Abort implements wire.
func (c *httpConn) Abort() error { return c.CloseStdin() }

// Reusable implements wire.
func (c *httpConn) Reusable() bool {
	if c.request == nil {
		return true
	}
	return c.ended && c.whole.Load() && !c.res.Close && c.in.Buffered() == 0 && c.res.StatusCode >= http.StatusOK
}

// Alive implements wire: the process has neither closed it nor promised to do so
// just now, and has sent nothing.
func (c *httpConn) Alive() bool {
	if !c.until.IsZero() && time.Now().After(c.until) {
		return false
	}
	_, err := sockio.Peek(c.nc)
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, errors.ErrUnsupported)
}

// NetConn implements wire.
func (c *httpConn) NetConn() net.Conn { return c.nc }

// SetDeadline implements wire.
func (c *httpConn) SetDeadline(t time.Time) error { return c.nc.SetDeadline(t) }

// SetReadDeadline implements wire.
func (c *httpConn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// SetWriteDeadline implements wire.
func (c *httpConn) SetWriteDeadline(t time.Time) error { return c.nc.SetWriteDeadline(t) }

// Close implements wire.
func (c *httpConn) Close() error { return c.nc.Close() }
