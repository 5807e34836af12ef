package fastcgi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// pairs makes params of names and values in turn.
func pairs(nv ...string) Params {
	p := make(Params, 0, len(nv)/2)
	for i := 0; i < len(nv); i += 2 {
		p = append(p, Param{Name: nv[i], Value: nv[i+1]})
	}
	return p
}

// record is a record as it came.
type record struct {
	Kind    recordType
	ID      uint16
	Content string
}

// raw makes one record, without padding.
func raw(kind recordType, id uint16, content string) string {
	return string(appendHeader(nil, kind, id, len(content), 0)) + content
}

func begin(id uint16, role Role, keep bool) string {
	return string(appendBegin(nil, id, role, keep))
}

func block(nv ...string) string {
	var b []byte
	for _, p := range pairs(nv...) {
		b = appendPair(b, p.Name, p.Value)
	}
	return string(b)
}

// params makes a whole PARAMS stream.
func params(id uint16, nv ...string) string {
	s := ""
	if len(nv) > 0 {
		s = raw(typeParams, id, block(nv...))
	}
	return s + raw(typeParams, id, "")
}

// stream makes a whole stream of the pieces.
func streamOf(kind recordType, id uint16, pieces ...string) string {
	s := ""
	var joined strings.Builder
	for _, piece := range pieces {
		joined.WriteString(raw(kind, id, piece))
	}
	s += joined.String()
	return s + raw(kind, id, "")
}

// request makes a whole request of a responder.
func request(id uint16, keep bool, body string, nv ...string) string {
	s := begin(id, Responder, keep) + params(id, nv...)
	if body == "" {
		return s + raw(typeStdin, id, "")
	}
	return s + streamOf(typeStdin, id, body)
}

// peer speaks records to the other side.
type peer struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func newPeer(tb testing.TB, nc net.Conn) *peer {
	tb.Helper()
	tb.Cleanup(func() { _ = nc.Close() })
	return &peer{tb, nc, bufio.NewReader(nc)}
}

func (p *peer) send(s string) {
	p.t.Helper()
	_ = p.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(p.nc, s); err != nil {
		p.t.Fatalf("sending: %v", err)
	}
}

func (p *peer) next() (record, error) {
	_ = p.nc.SetReadDeadline(time.Now().Add(patience))
	var b [headerLen]byte
	if _, err := io.ReadFull(p.r, b[:]); err != nil {
		return record{}, err
	}
	h := parseHeader(b[:])
	content := make([]byte, h.length+h.padding)
	if _, err := io.ReadFull(p.r, content); err != nil {
		return record{}, err
	}
	switch {
	case h.version != 1 || b[7] != 0:
		return record{}, fmt.Errorf("bad header % x", b)
	case (h.length+h.padding)%8 != 0:
		return record{}, fmt.Errorf("record of %d+%d bytes is not a multiple of 8", h.length, h.padding)
	}
	return record{h.kind, h.id, string(content[:h.length])}, nil
}

func (p *peer) recv() record {
	p.t.Helper()
	r, err := p.next()
	if err != nil {
		p.t.Fatalf("receiving: %v", err)
	}
	return r
}

// all receives until the connection ends and says how.
func (p *peer) all() ([]record, error) {
	var rs []record
	for {
		r, err := p.next()
		if err != nil {
			return rs, err
		}
		rs = append(rs, r)
	}
}

// closed demands that nothing but the end comes.
func (p *peer) closed() {
	p.t.Helper()
	if rs, err := p.all(); len(rs) > 0 || !errors.Is(err, io.EOF) && !isReset(err) {
		p.t.Fatalf("got %v, %v, want the connection closed", rs, err)
	}
}

// brokenOff waits for the record that no web server takes for the end of a
// response, and for the end of the connection after it.
func (p *peer) brokenOff() {
	p.t.Helper()
	if _, err := p.all(); err == nil || err.Error() != "bad header 00 00 00 00 00 00 00 00" {
		p.t.Fatalf("got %v, want a record of version 0", err)
	}
	p.closed()
}

func isReset(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "reset by peer") || errors.Is(err, io.ErrClosedPipe))
}

// answer is a whole response to one request.
type answer struct {
	Stdout, Stderr string
	App            uint32
	Status         ProtocolStatus
}

// answers receives until n requests have ended, and returns them by id. It
// demands the streams' ends (section 6.1).
func (p *peer) answers(n int) map[uint16]answer {
	p.t.Helper()
	got := map[uint16]answer{}
	closed := map[uint16]bool{}
	for n > 0 {
		r := p.recv()
		a := got[r.ID]
		switch r.Kind {
		case typeStdout:
			if closed[r.ID] {
				p.t.Fatalf("STDOUT of %d after its end", r.ID)
			}
			closed[r.ID] = r.Content == ""
			a.Stdout += r.Content
		case typeStderr:
			a.Stderr += r.Content
		case typeEndRequest:
			a.App = uint32(r.Content[0])<<24 | uint32(r.Content[1])<<16 | uint32(r.Content[2])<<8 | uint32(r.Content[3])
			a.Status = ProtocolStatus(r.Content[4])
			if r.Content[5:] != "\x00\x00\x00" {
				p.t.Fatalf("reserved bytes % x", r.Content[5:])
			}
			if a.Status == RequestComplete && !closed[r.ID] {
				p.t.Fatalf("END_REQUEST of %d without the end of STDOUT", r.ID)
			}
			n--
		default:
			p.t.Fatalf("unexpected %v", r)
		}
		got[r.ID] = a
	}
	return got
}

func (p *peer) answer(id uint16) answer {
	p.t.Helper()
	got := p.answers(1)
	a, ok := got[id]
	if !ok {
		p.t.Fatalf("got answers %v, want one for %d", got, id)
	}
	return a
}

// rig is a Server under test.
type rig struct {
	*Server
	t testing.TB
	l net.Listener

	mu     sync.Mutex
	errors []ConnError
}

// serve starts s at a unix socket; change may alter it first.
func serve(tb testing.TB, h Handler, change func(*Server)) *rig {
	tb.Helper()
	l, err := net.Listen("unix", filepath.Join(tb.TempDir(), "s"))
	if err != nil {
		tb.Fatal(err)
	}
	return serveAt(tb, l, h, change)
}

func serveTCP(tb testing.TB, h Handler, change func(*Server)) *rig {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return serveAt(tb, l, h, change)
}

func serveAt(tb testing.TB, l net.Listener, h Handler, change func(*Server)) *rig {
	tb.Helper()
	s := Defaults()
	s.Handler = h
	g := &rig{Server: s, t: tb, l: l}
	s.OnError = func(e ConnError) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.errors = append(g.errors, e)
	}
	if change != nil {
		change(s)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	tb.Cleanup(func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, ErrServerClosed) {
			tb.Errorf("Serve returned %v", err)
		}
		eventually(tb, "all connections gone", func() bool {
			st := s.Stats()
			return st.Conns == 0 && st.Active == 0
		})
	})
	return g
}

func (g *rig) dial() *peer {
	g.t.Helper()
	nc, err := net.Dial(g.l.Addr().Network(), g.l.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	return newPeer(g.t, nc)
}

// reported waits for an error of the kind.
func (g *rig) reported(kind ErrorKind, text string) {
	g.t.Helper()
	eventually(g.t, "error "+kind.String()+" "+text, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, e := range g.errors {
			if e.Kind == kind && strings.Contains(e.Error(), text) {
				return true
			}
		}
		return false
	})
}

func (g *rig) quiet() {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.errors) > 0 {
		g.t.Errorf("errors were reported: %v", g.errors)
	}
}

// eventually polls ok.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); ; {
		if ok() {
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("waited in vain for: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// within demands that c delivers in time.
func within[T any](tb testing.TB, what string, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		tb.Fatalf("waited in vain for: %s", what)
		panic("unreachable")
	}
}

// dump answers with all it was given.
func dump(w *ResponseWriter, r *Request) {
	in, err := io.ReadAll(r.Stdin)
	fmt.Fprintf(w, "role=%d params=", r.Role)
	for _, p := range r.Params {
		fmt.Fprintf(w, "%q:%q,", p.Name, p.Value)
	}
	fmt.Fprintf(w, " stdin=%d:%x", len(in), sum(in))
	if err != nil {
		fmt.Fprintf(w, " err=%v", err)
	}
	if r.Role == Filter {
		data, err := io.ReadAll(r.Data)
		fmt.Fprintf(w, " data=%d:%x err=%v", len(data), sum(data), err)
	}
}

// sum is FNV-1a.
func sum(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}
