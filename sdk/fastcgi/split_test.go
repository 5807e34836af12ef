package fastcgi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"
)

// memConn is a connection whose input is at hand, in pieces of the given
// sizes, and whose output is kept. Its end is the peer's leaving.
type memConn struct {
	in    []byte
	sizes func() int

	mu     sync.Mutex
	out    bytes.Buffer
	closed bool
	done   chan struct{}
}

func (m *memConn) Read(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, net.ErrClosed
	}
	if len(m.in) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(m.in), max(1, m.sizes()))
	copy(p, m.in[:n])
	m.in = m.in[n:]
	return n, nil
}

func (m *memConn) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, net.ErrClosed
	}
	return m.out.Write(p)
}

func (m *memConn) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.done)
	}
	return nil
}

func (m *memConn) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (m *memConn) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (m *memConn) SetDeadline(time.Time) error      { return nil }
func (m *memConn) SetReadDeadline(time.Time) error  { return nil }
func (m *memConn) SetWriteDeadline(time.Time) error { return nil }

// seen are the requests of a stream by what was read of them.
type seen struct {
	mu   sync.Mutex
	list []string
}

func (s *seen) ServeFastCGI(w *ResponseWriter, r *Request) {
	b, err := io.ReadAll(r.Stdin)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, fmt.Sprintf("%d %v %q %q %v", r.id, r.KeepConn, r.Params, b, err))
	_, _ = w.Write(b)
}

// play gives a server a stream in pieces and returns what it made of it.
func play(tb testing.TB, stream string, sizes func() int) []string {
	tb.Helper()
	served, _ := playOrRefuse(tb, stream, sizes)
	return served
}

// playOrRefuse says also whether the stream violated the protocol: how much of
// a request before that is served depends on what came with it.
func playOrRefuse(tb testing.TB, stream string, sizes func() int) (served []string, violated bool) {
	tb.Helper()
	s := &seen{}
	var refused atomic.Bool
	srv := &Server{Handler: s, Limits: Limits{MaxParamsSize: 4096, MaxParams: 32, MaxStdinBuffer: 1 << 10, MaxRequestsPerConn: 8, StallTimeout: time.Second}}
	srv.OnError = func(e ConnError) {
		if e.Kind == KindProtocol {
			refused.Store(true)
		}
	}
	srv.state.once.Do(srv.init)
	m := &memConn{in: []byte(stream), sizes: sizes, done: make(chan struct{})}
	srv.start(m)
	select {
	case <-m.done:
	case <-time.After(patience):
		tb.Fatalf("the server does not end for %q", stream)
	}
	for end := time.Now().Add(patience); srv.Stats().Conns > 0; {
		if time.Now().After(end) {
			tb.Fatalf("the connection is not forgotten for %q", stream)
		}
		<-time.After(10 * time.Microsecond)
	}
	if n := srv.Stats().Active; n != 0 {
		tb.Fatalf("%d active requests", n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.list)
	return s.list, refused.Load()
}

func whole() int { return 1 << 30 }

// TestAnySplit: however a stream of records arrives, the requests are the same.
func TestAnySplit(t *testing.T) {
	stream := request(1, true, "body one", "A", "b", "EMPTY", "") +
		raw(typeGetValues, 0, block("FCGI_MAX_CONNS", "")) +
		begin(2, Responder, true) + streamOf(typeParams, 2, block("X", strings.Repeat("y", 150))[:60], block("X", strings.Repeat("y", 150))[60:]) +
		streamOf(typeStdin, 2, "pieces", " of ", "a body") +
		raw(typeStdin, 9, "inactive") + request(3, true, strings.Repeat("long", 700))
	want := play(t, stream, whole)
	if len(want) != 3 {
		t.Fatalf("got %q", want)
	}
	for cut := 1; cut < len(stream); cut++ {
		first := true
		got := play(t, stream, func() int {
			if first {
				first = false
				return cut
			}
			return 1 << 30
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("cut at %d: %s", cut, diff)
		}
	}
	for size := 1; size < 20; size++ {
		if diff := cmp.Diff(want, play(t, stream, func() int { return size })); diff != "" {
			t.Fatalf("pieces of %d: %s", size, diff)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		if diff := cmp.Diff(want, play(t, stream, func() int { return 1 + rng.IntN(400) })); diff != "" {
			t.Fatal(diff)
		}
	}
}

// TestParamsRoundTrip: decode(encode(p)) is p, through real records.
func TestParamsRoundTrip(t *testing.T) {
	f := func(in map[string]string, sizes []uint16) bool {
		var p Params
		for name, value := range in {
			if name == "" || strings.Contains(name+value, "\x00") {
				continue
			}
			p = append(p, Param{Name: name, Value: value})
		}
		for i, n := range sizes {
			p = append(p, Param{Name: fmt.Sprint("N", i), Value: strings.Repeat("v", int(n)%(maxPair-20))})
		}
		wire, err := appendParams(nil, p)
		if err != nil {
			return false
		}
		var joined string
		var content strings.Builder
		for len(wire) > 0 {
			h := parseHeader(wire)
			if h.length+h.padding > maxContent || h.kind != typeParams {
				return false
			}
			content.WriteString(string(wire[headerLen : headerLen+h.length]))
			wire = wire[headerLen+h.length+h.padding:]
		}
		joined += content.String()
		got, err := parseParams(nil, joined, len(p)+1)
		return err == nil && cmp.Equal(got, p, cmp.Transformer("nil", func(p Params) Params { return append(Params{}, p...) }))
	}
	if err := quick.Check(f, &quick.Config{MaxCount: 300}); err != nil {
		t.Error(err)
	}
}

// TestHeaderRoundTrip is the same for headers.
func TestHeaderRoundTrip(t *testing.T) {
	f := func(kind uint8, id, length uint16, padding uint8) bool {
		h := parseHeader(appendHeader(nil, recordType(kind), id, int(length), int(padding)))
		return h == header{version, recordType(kind), id, int(length), int(padding)}
	}
	if err := quick.Check(f, nil); err != nil {
		t.Error(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a length of 65536 was cut silently (F40)")
		}
	}()
	appendHeader(nil, typeStdin, 1, maxContent+1, 0)
}

// FuzzServer: any bytes, in any pieces, end without a panic, a leak or a hang,
// and mean the same as in one piece.
func FuzzServer(f *testing.F) {
	f.Add([]byte(request(1, true, "body", "A", "b")), uint8(3))
	f.Add([]byte(request(1, false, "", "A", "b", "C", strings.Repeat("d", 200))), uint8(255))
	f.Add([]byte(begin(1, Responder, true)+begin(2, Responder, true)+params(1)+params(2)+raw(typeStdin, 2, "x")+raw(typeStdin, 1, "")+raw(typeAbortRequest, 2, "")), uint8(1))
	f.Add([]byte(raw(typeGetValues, 0, block("FCGI_MAX_CONNS", ""))+raw(77, 0, "")), uint8(7))
	f.Add([]byte(begin(1, 9, true)+begin(1, Responder, true)+raw(typeParams, 1, "\xff\xff\xff\xff\xff\xff\xff\xff")+raw(typeParams, 1, "")), uint8(16))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		if len(stream) > 1<<16 {
			return
		}
		one, violated := playOrRefuse(t, string(stream), whole)
		many, violatedToo := playOrRefuse(t, string(stream), func() int { return int(size) })
		if concurrent(stream) || violated || violatedToo {
			return
		}
		if diff := cmp.Diff(one, many); diff != "" {
			t.Errorf("pieces of %d bytes: %s", size, diff)
		}
	})
}

// concurrent says whether the order of requests, or what an error behind them
// cut, may differ: with more than one BEGIN, or anything but a clean end.
func concurrent(stream []byte) bool {
	begins := 0
	for len(stream) >= headerLen {
		h := parseHeader(stream)
		if h.version != version {
			return true
		}
		if h.kind == typeBeginRequest {
			begins++
		}
		if h.kind == typeAbortRequest || h.kind > typeUnknownType || h.id == 0 {
			return true
		}
		n := headerLen + h.length + h.padding
		if n > len(stream) {
			return true
		}
		stream = stream[n:]
	}
	return begins > 1 || len(stream) > 0
}

// FuzzConn: any answer ends in io.EOF after END_REQUEST or in an *Error, and
// means the same in any pieces.
func FuzzConn(f *testing.F) {
	f.Add([]byte(out("Content-Type: text/html\r\n\r\nhi")+out("")+end(0, 0)), uint8(5))
	f.Add([]byte(raw(typeStderr, 1, "warning")+out("x")+end(1, 2)), uint8(1))
	f.Add([]byte(out(strings.Repeat("x", 5000))+end(0, 0)+"stray"), uint8(200))
	f.Add([]byte(raw(typeStdout, 2, "x")), uint8(9))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		if len(stream) > 1<<16 {
			return
		}
		read := func(sizes func() int) string {
			var stderr bytes.Buffer
			m := &memConn{in: bytes.Clone(stream), sizes: sizes, done: make(chan struct{})}
			c := NewConn(m, ConnOptions{Stderr: func(b []byte) { stderr.Write(b) }})
			if err := c.Start(Responder, true, nil, []byte{}); err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(c)
			if (err == nil) != c.Ended() && c.status == RequestComplete {
				t.Fatalf("ended %v with %v", c.Ended(), err)
			}
			var typed *Error
			if err != nil && !errors.As(err, &typed) {
				t.Fatalf("error of type %T", err)
			}
			app, status := c.EndRequest()
			if err != nil {
				// How much of a STDERR record that was cut is handed on may differ.
				stderr.Reset()
			}
			return fmt.Sprintf("%q %q %v %d %d", b, stderr.String(), err, app, status)
		}
		if one, many := read(whole), read(func() int { return int(size) }); one != many {
			t.Errorf("in one piece %s\nin pieces of %d %s", one, size, many)
		}
	})
}

// FuzzParams: what parses builds the same params again.
func FuzzParams(f *testing.F) {
	f.Add(block("A", "b", "LONG", strings.Repeat("l", 200), "EMPTY", ""))
	f.Add("\x80\x00\x00\x01\x80\x00\x00\x01AB")
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff")
	f.Fuzz(func(t *testing.T, wire string) {
		p, err := parseParams(nil, wire, 100)
		if err != nil {
			return
		}
		var b []byte
		for _, pair := range p {
			b = appendPair(b, pair.Name, pair.Value)
		}
		again, err := parseParams(nil, string(b), 100)
		if diff := cmp.Diff(p, again); diff != "" || err != nil {
			t.Error(err, diff)
		}
		_ = p.Clone().Folded()
	})
}

// TestCorpusIsThere: the fuzz targets have a committed corpus, which the plain
// go test runs.
func TestCorpusIsThere(t *testing.T) {
	for _, target := range []string{"FuzzServer", "FuzzConn", "FuzzParams"} {
		files, err := os.ReadDir("testdata/fuzz/" + target)
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %d files, %v", target, len(files), err)
		}
	}
}
