package fastcgi

import (
	"net"
	"strings"
	"testing"
)

// Limits change for connections that are open.
func TestSetLimits(t *testing.T) {
	g := serve(t, echoParams, nil)
	p := g.dial()
	ask := func() string {
		p.send(request(1, true, "", "A", "1", "B", "2"))
		return p.answer(1).Stdout
	}
	if got := ask(); strings.HasPrefix(got, "Status: 431") {
		t.Fatal(got)
	}
	g.SetLimits(Limits{MaxParams: 1})
	if got := ask(); !strings.HasPrefix(got, "Status: 431") {
		t.Error(got)
	}
	g.SetLimits(Limits{})
	if got := ask(); strings.HasPrefix(got, "Status: 431") {
		t.Error(got)
	}
	g.SetLimits(Limits{AllowConn: func(net.Conn) bool { return false }})
	if got := ask(); strings.HasPrefix(got, "Status: 431") { // a last answer
		t.Error(got)
	}
	p.closed()
	g.dial().closed()
	g.reported(KindParams, "")
	g.reported(KindRefused, "not allowed")
}

// A retired server's connections end after their next answer, the idle ones when
// there was one; what has several requests under way answers all of them.
func TestRetire(t *testing.T) {
	h := newSteered()
	g := serve(t, h, nil)
	p, idle := g.dial(), g.dial()
	idle.send(request(1, true, ""))
	idle.answer(1)
	within(t, "start", h.started)
	p.send(request(1, true, "", "DO", "block") + request(2, true, "", "DO", "block"))
	within(t, "start", h.started)
	within(t, "start", h.started)
	g.Retire()
	h.release <- struct{}{}
	p.send(request(3, true, "")) // still taken
	h.release <- struct{}{}
	if got := p.answers(3); len(got) != 3 {
		t.Errorf("%v", got)
	}
	p.closed()
	idle.send(request(2, true, ""))
	idle.answer(2)
	idle.closed()
}
