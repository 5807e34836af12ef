package backend

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/sdk/cgi"
)

// upgradeLinger is how long a worker may take to end an upgraded connection
// whose client has left, or when the server stops.
const upgradeLinger = 5 * time.Second

// wantsUpgrade says whether the client asks for another protocol on its
// connection (RFC 9110, section 7.8), WebSocket mostly. HTTP/2 is not passed on:
// requests in it would go past everything that stands before the worker, and
// nobody needs it (RFC 9113, section 3.1).
func wantsUpgrade(r *http.Request) bool {
	if len(r.Header["Upgrade"]) == 0 || !r.ProtoAtLeast(1, 1) || r.ProtoMajor > 1 {
		return false
	}
	return slices.Contains(tokens(r.Header["Connection"]), "upgrade") && !slices.Contains(tokens(r.Header["Upgrade"]), "h2c")
}

// goodbye takes the upgraded connections of a set that is used no more, all in
// the pool's busy list, to be told by leave. They may last for days, so what is
// replaced or stops does not wait for them as for requests. Callers hold mu.
func (p *pool) goodbye(old *lentSet) []*poolConn {
	var all []*poolConn
	for _, c := range p.busy {
		if c.unbound && c.set == old {
			all = append(all, c)
		}
	}
	return all
}

// unbound takes a connection that is no request any more out of the watch; false
// when its time was over just now.
func (p *pool) unbound(c *poolConn) bool {
	p.mu.Lock()
	c.unbound = true
	ok, current := c.fate == running, c.set == p.set
	p.mu.Unlock()
	if !current {
		leave(c)
	}
	return ok
}

// leave asks the worker to end the connection: the request's context ends, and
// there is a little time for a goodbye.
func leave(c *poolConn) {
	until := time.Now().Add(upgradeLinger)
	_ = c.SetDeadline(until) // and that fails what waits longer
	_ = c.Abort()
}

// switchProtocols passes bytes in both directions until one side ends, and says
// whether the worker ended in order.
func (s *stream) switchProtocols(head *cgi.Head, first, chunk []byte) bool {
	client, buffered, err := s.control.Hijack()
	if err != nil {
		s.fail(failure{
			http.StatusNotImplemented, slog.LevelInfo, "the request came by a way that has no upgrades",
			"let the web server pass WebSocket on by HTTP, to an address of the http section", err,
		})
		return false
	}
	s.headSent = true
	defer func() { _ = client.Close() }()
	if err := writeSwitch(client, head, first); err != nil {
		return false
	}
	// Silence is no fault from here on: TCP's keep-alive finds dead clients, the
	// watch over the plugin a dead worker.
	_ = client.SetDeadline(time.Time{})
	conn := s.conn
	if !s.pool.unbound(conn) {
		return false
	}
	sent := make(chan struct{})
	go func() { // ends with the client's connection or the worker's
		defer close(sent)
		sendUp(conn, buffered.Reader)
	}()
	_, err = io.CopyBuffer(onlyWriter{client}, onlyReader{conn}, chunk[:cap(chunk)])
	_ = client.Close()
	if err != nil {
		_ = conn.Close()
	}
	<-sent
	return err == nil
}

// writeSwitch is net/http's part of an answer, which a hijacker writes itself.
func writeSwitch(client net.Conn, head *cgi.Head, first []byte) error {
	var b strings.Builder
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	fields := http.Header{}
	head.CopyTo(fields)
	_ = fields.Write(&b) // a Builder takes it all
	b.WriteString("\r\n")
	b.Write(first)
	_, err := io.WriteString(client, b.String())
	return err
}

// sendUp sends what the client sends. Its end is that of STDIN; the worker then
// has a little time.
func sendUp(conn *poolConn, client *bufio.Reader) {
	if _, err := conn.ReadFrom(onlyReader{client}); err != nil && !errors.Is(err, io.EOF) {
		_ = conn.SetDeadline(time.Now().Add(upgradeLinger))
		_ = conn.Abort()
	}
	_ = conn.CloseStdin()
	_ = conn.SetReadDeadline(time.Now().Add(upgradeLinger))
}

// onlyWriter hides ReaderFrom, so that CopyBuffer uses the buffer it is given.
type onlyWriter struct{ io.Writer }
