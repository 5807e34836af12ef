package fastcgi

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// countingConn counts system calls. It hides the socket, so that reads go
// through it.
type countingConn struct {
	net.Conn
	reads, writes atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.reads.Add(1)
	return n, err
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// countingListener wraps what it accepts.
type countingListener struct {
	net.Listener
	conn chan *countingConn
}

func (l *countingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &countingConn{Conn: nc}
	l.conn <- c
	return c, nil
}

// TestCostOfSmallRequest holds the promise of one write and one read per
// direction and of two allocations per side.
func TestCostOfSmallRequest(t *testing.T) {
	l := &countingListener{listen(t), make(chan *countingConn, 1)}
	serveAt(t, l, HandlerFunc(func(w *ResponseWriter, _ *Request) {
		_, _ = w.WriteString("Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello")
	}), nil)
	mine := &countingConn{Conn: dial(t, l)}
	defer mine.Close()
	theirs := <-l.conn
	c := NewConn(mine, ConnOptions{})
	params := usualParams(0)
	buf := make([]byte, 4096)
	one := func() {
		if err := c.Start(Responder, true, params, []byte{}); err != nil {
			t.Fatal(err)
		}
		for !c.Ended() {
			if _, err := c.Read(buf); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
	}
	one()
	eventually(t, "the next read", func() bool { return theirs.reads.Load() == 1 })
	const n = 100
	for range n {
		one()
	}
	for name, got := range map[string]int64{
		"client reads": mine.reads.Load(), "client writes": mine.writes.Load(), "server writes": theirs.writes.Load(),
	} {
		if got != n+1 {
			t.Errorf("%d %s for %d requests", got, name, n+1)
		}
	}
	eventually(t, "the server's reads", func() bool { return theirs.reads.Load() == n+1 })
	if raceEnabled {
		return
	}
	// The client's side has none, so both bounds show here.
	if got := testing.AllocsPerRun(1000, one); got > 2 {
		t.Errorf("%v allocations for a request, both sides together", got)
	}
}

// TestFollowerDoesNotStay: a slow handler costs a goroutine only while it runs.
func TestFollowerDoesNotStay(t *testing.T) {
	h := newSteered()
	g := serve(t, h, nil)
	p := g.dial()
	for range 3 {
		h.release = make(chan struct{})
		p.send(request(1, true, "", "DO", "block"))
		within(t, "start", h.started)
		<-time.After(4 * followAfter)
		close(h.release)
		p.answer(1)
		p.send(request(1, true, "x", "DO", "read"))
		p.answer(1)
		for len(h.started) > 0 {
			<-h.started
		}
	}
	g.quiet()
}
