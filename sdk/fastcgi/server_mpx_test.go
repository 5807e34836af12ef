package fastcgi

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// steered is a handler that does what the params say, and tells of its life.
type steered struct {
	started, ended chan string
	release        chan struct{}
}

func newSteered() *steered {
	return &steered{make(chan string, 100), make(chan string, 100), make(chan struct{})}
}

func (s *steered) ServeFastCGI(w *ResponseWriter, r *Request) {
	name := r.Params.Get("NAME")
	s.started <- name
	w.SetAppStatus(3)
	switch r.Params.Get("DO") {
	case "wait": // for the end of the context
		<-r.Context().Done()
		fmt.Fprint(w, r.Cause())
	case "block": // until released, reading nothing
		<-s.release
		dump(w, r)
	case "read":
		dump(w, r)
	case "fill": // the web server's patience
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				s.ended <- name
				return
			}
		}
	}
	s.ended <- name
}

// TestF25Multiplexing: interleaved input, answers out of order, and the unread
// body of one does not block another.
func TestF25Multiplexing(t *testing.T) {
	h := newSteered()
	g := serve(t, h, nil)
	p := g.dial()
	body := strings.Repeat("s", 100_000)
	p.send(begin(1, Responder, true) + params(1, "NAME", "slow", "DO", "block") + raw(typeStdin, 1, body[:60_000]))
	within(t, "the slow one", h.started)
	p.send(begin(2, Responder, true) + raw(typeParams, 2, block("NAME", "fast")) + raw(typeStdin, 1, body[60_000:]) +
		raw(typeParams, 2, block("DO", "read")) + raw(typeParams, 2, "") + raw(typeStdin, 2, "ab") + raw(typeStdin, 1, "") + raw(typeStdin, 2, ""))
	if a := p.answer(2); a.Stdout != fmt.Sprintf(`role=1 params="NAME":"fast","DO":"read", stdin=2:%x`, sum([]byte("ab"))) || a.App != 3 {
		t.Errorf("fast: %+v", a)
	}
	close(h.release)
	if a := p.answer(1); !strings.HasSuffix(a.Stdout, fmt.Sprintf("stdin=100000:%x", sum([]byte(body)))) {
		t.Errorf("slow: %+v", a)
	}
	g.quiet()
}

// TestF25ManyAtOnce runs many requests at once on one connection, bodies
// interleaved record by record.
func TestF25ManyAtOnce(t *testing.T) {
	const n = 64
	g := serve(t, echoParams, nil)
	p := g.dial()
	var wire strings.Builder
	for id := uint16(1); id <= n; id++ {
		wire.WriteString(begin(id, Responder, true) + params(id, "ID", strconv.FormatUint(uint64(id), 10)))
	}
	for round := range 50 {
		for id := uint16(1); id <= n; id++ {
			wire.WriteString(raw(typeStdin, id, fmt.Sprintf("%d-%d;", id, round)))
		}
	}
	for id := uint16(1); id <= n; id++ {
		wire.WriteString(raw(typeStdin, id, ""))
	}
	go func() { _, _ = io.WriteString(p.nc, wire.String()) }()
	for id, a := range p.answers(n) {
		body := ""
		var sent strings.Builder
		for round := range 50 {
			fmt.Fprintf(&sent, "%d-%d;", id, round)
		}
		body += sent.String()
		want := fmt.Sprintf(`role=1 params="ID":"%d", stdin=%d:%x`, id, len(body), sum([]byte(body)))
		if a.Stdout != want {
			t.Errorf("%d: %q", id, a.Stdout)
		}
	}
	g.quiet()
}

// TestF24F26Limits: one request too many is refused by the right status, and
// the first is unharmed.
func TestF24F26Limits(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit int
		want  ProtocolStatus
	}{{"F24 no multiplexing", 1, CantMpxConn}, {"F26 overloaded", 2, Overloaded}} {
		t.Run(test.name, func(t *testing.T) {
			h := newSteered()
			g := serve(t, h, func(s *Server) { s.MaxRequestsPerConn = test.limit })
			p := g.dial()
			for id := range test.limit {
				p.send(request(uint16(id+1), true, "x", "DO", "block"))
				within(t, "start", h.started)
			}
			p.send(request(9, true, "y", "DO", "read"))
			if a := p.answer(9); a != (answer{Status: test.want}) {
				t.Errorf("got %+v", a)
			}
			close(h.release)
			p.answers(test.limit)
			p.send(request(9, true, "y", "DO", "read"))
			if a := p.answer(9); a.Status != RequestComplete {
				t.Errorf("afterwards: %+v", a)
			}
			g.reported(KindLimit, test.want.String())
		})
	}
}

// TestF19ValuesDuringRequest: management records are answered while requests
// run, with the truth.
func TestF19ValuesDuringRequest(t *testing.T) {
	for limit, mpxs := range map[int]string{1: "0", 5: "1"} {
		h := newSteered()
		g := serve(t, h, func(s *Server) { s.MaxConns, s.MaxRequestsPerConn = 11, limit })
		p := g.dial()
		ask := raw(typeGetValues, 0, block("FCGI_MAX_CONNS", "", "X", "", "FCGI_MAX_REQS", "", "FCGI_MPXS_CONNS", ""))
		want := record{typeGetValuesResult, 0, block("FCGI_MAX_CONNS", "11", "FCGI_MAX_REQS", strconv.Itoa(11*limit), "FCGI_MPXS_CONNS", mpxs)}
		p.send(ask)
		if r := p.recv(); r != want {
			t.Errorf("before: %v", r)
		}
		p.send(begin(1, Responder, true) + ask)
		if r := p.recv(); r != want {
			t.Errorf("within params: %v", r)
		}
		p.send(params(1, "DO", "block") + raw(typeStdin, 1, "x"))
		within(t, "start", h.started)
		p.send(ask)
		if r := p.recv(); r != want {
			t.Errorf("during: %v", r)
		}
		close(h.release)
		p.send(raw(typeStdin, 1, ""))
		p.answer(1)
	}
}

// TestF27Abort aborts a request at every point of its life.
func TestF27Abort(t *testing.T) {
	abort := raw(typeAbortRequest, 1, "")
	tests := []struct {
		name, in string
		starts   bool
		want     answer
	}{
		{"within PARAMS", begin(1, Responder, true) + raw(typeParams, 1, block("A", "B")) + abort, false, answer{}},
		{"within STDIN", begin(1, Responder, true) + params(1, "DO", "wait") + raw(typeStdin, 1, "x"), true, answer{Stdout: ErrAborted.Error(), App: 3}},
		{"while it works", request(1, true, "", "DO", "wait"), true, answer{Stdout: ErrAborted.Error(), App: 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newSteered()
			g := serve(t, h, nil)
			p := g.dial()
			// Another request is not touched.
			p.send(request(2, true, "other", "DO", "block"))
			within(t, "the other", h.started)
			p.send(test.in)
			if test.starts {
				within(t, "start", h.started)
				p.send(abort + abort)
			}
			if a := p.answer(1); a != test.want {
				t.Errorf("got %+v", a)
			}
			p.send(abort)
			close(h.release)
			if a := p.answer(2); !strings.HasSuffix(a.Stdout, fmt.Sprintf("stdin=5:%x", sum([]byte("other")))) {
				t.Errorf("other: %+v", a)
			}
			p.send(request(1, true, "", "DO", "read"))
			p.answer(1)
			g.quiet()
		})
	}
}

// TestF27AbortCutsStdin: a handler that reads gets an error, not an end.
func TestF27AbortCutsStdin(t *testing.T) {
	p := serve(t, echoParams, nil).dial()
	p.send(begin(1, Responder, true) + params(1) + raw(typeStdin, 1, "half"))
	p.send(raw(typeAbortRequest, 1, ""))
	if a := p.answer(1); !strings.Contains(a.Stdout, "err=STDIN was cut off") {
		t.Errorf("got %q", a.Stdout)
	}
	err := inputError(ErrAborted)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, ErrAborted) {
		t.Error("the error is not what it wraps")
	}
}

// TestStalledRequestGivesWay: one request that does not read a large body holds
// up others for StallTimeout only, and memory stays bounded.
func TestStalledRequestGivesWay(t *testing.T) {
	h := newSteered()
	g := serve(t, h, func(s *Server) { s.MaxStdinBuffer, s.StallTimeout = 64<<10, 50*time.Millisecond })
	p := g.dial()
	p.send(begin(1, Responder, true) + params(1, "NAME", "stalled", "DO", "block"))
	within(t, "start", h.started)
	p.send(begin(2, Responder, true) + params(2, "NAME", "other", "DO", "read") + raw(typeStdin, 2, "a"))
	within(t, "start", h.started)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	piece := raw(typeStdin, 1, strings.Repeat("x", 1<<15))
	for range 512 { // 16 MiB
		p.send(piece)
	}
	p.send(raw(typeStdin, 2, "b") + raw(typeStdin, 2, "") + raw(typeStdin, 1, ""))
	if a := p.answer(2); !strings.HasSuffix(a.Stdout, fmt.Sprintf("stdin=2:%x", sum([]byte("ab")))) {
		t.Errorf("other: %+v", a)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d bytes are held", grown)
	}
	close(h.release)
	if a := p.answer(1); !strings.Contains(a.Stdout, ErrStalled.Error()) {
		t.Errorf("stalled: %+v", a)
	}
	g.reported(KindLimit, ErrStalled.Error())
}

// TestSlowHandlerBoundsMemory: alone on its connection, a request whose handler
// does not read is not hurried; the web server has to wait.
func TestSlowHandlerBoundsMemory(t *testing.T) {
	h := newSteered()
	g := serve(t, h, func(s *Server) { s.StallTimeout = 10 * time.Millisecond })
	p := g.dial()
	p.send(begin(1, Responder, true) + params(1, "DO", "block"))
	within(t, "start", h.started)
	total := 0
	piece := raw(typeStdin, 1, strings.Repeat("x", 1<<15))
	for {
		_ = p.nc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := io.WriteString(p.nc, piece)
		total += n
		if err != nil {
			break
		}
		if total > 64<<20 {
			t.Fatal("64 MiB were taken without a reader")
		}
	}
	rest := piece[total%len(piece):]
	close(h.release)
	p.send(rest + raw(typeStdin, 1, ""))
	total += len(rest)
	records := total / len(piece)
	if a := p.answer(1); !strings.Contains(a.Stdout, fmt.Sprintf("stdin=%d:", records<<15)) {
		t.Errorf("%d records: %q", records, a.Stdout)
	}
	g.quiet()
}

// TestSlowReaderBoundsMemory: a web server that does not read stops the
// handler, not the memory, and only until WriteTimeout.
func TestSlowReaderBoundsMemory(t *testing.T) {
	h := newSteered()
	g := serve(t, h, func(s *Server) { s.WriteTimeout = 300 * time.Millisecond })
	p := g.dial()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p.send(request(1, true, "", "DO", "fill"))
	within(t, "start", h.started)
	g.reported(KindTimeout, "")
	within(t, "the handler's end", h.ended)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d bytes are held", grown)
	}
}
