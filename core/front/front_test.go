package front

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plain is a Server over net/http.
type plain struct {
	http.Server
	conns atomic.Int64
}

func newPlain(h http.Handler) Server {
	s := &plain{}
	s.Handler = h
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state { //nolint:exhaustive // the others change no number
		case http.StateNew:
			s.conns.Add(1)
		case http.StateClosed, http.StateHijacked:
			s.conns.Add(-1)
		}
	}
	return s
}

func (s *plain) Serve(l net.Listener) error {
	if err := s.Server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return net.ErrClosed
}

func (s *plain) Retire()    { s.SetKeepAlivesEnabled(false) }
func (s *plain) Conns() int { return int(s.conns.Load()) }

// house is what outlives the generations of a test.
type house struct {
	t     *testing.T
	doors Doors
	set   *listen.Set
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, set: listen.NewSet(slog.New(slog.DiscardHandler))}
	t.Cleanup(func() {
		if n := h.set.Addresses(); n > 0 {
			t.Errorf("%d sockets are left", n)
		}
		if n := len(h.doors.open); n > 0 {
			t.Errorf("%d doors are left", n)
		}
	})
	return h
}

// entry is a door whose answer says who gave it.
func entry(address, route, who string, settings any) Entry {
	return Entry{
		Setting: "test", Address: address, Route: route, Settings: settings, New: newPlain,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, who) }),
	}
}

func (h *house) front(entries ...Entry) *Front {
	return New(entries, Deps{
		Doors: &h.doors, Requests: NewRequests(), Claim: func(string, string) error { return nil },
		Failed: func(err error) { h.t.Error(err) }, Log: slog.New(slog.DiscardHandler),
		Listen: func(_, address string, file api.SocketFile) (net.Listener, error) {
			return h.set.Listen(address, listen.Options{Mode: file.Mode})
		},
	})
}

// up starts a front and switches to it.
func (h *house) up(f *Front) *Front {
	h.t.Helper()
	if err := f.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	f.Switch()
	return f
}

func (h *house) over(f *Front) {
	h.t.Helper()
	for range 2 { // Stop works twice
		if err := f.Stop(context.Background()); err != nil {
			h.t.Error(err)
		}
	}
}

// gone waits until nothing leads to the front.
func (h *house) gone(f *Front) {
	h.t.Helper()
	f.Requests.Close()
	select {
	case <-f.Requests.Done():
	case <-time.After(5 * time.Second):
		h.t.Errorf("%d still lead to it", f.Requests.Running())
	}
}

func (h *house) addr(i int) string { return h.doors.open[i].listener.Addr().String() }

func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func ask(t *testing.T, c *http.Client, address string) string {
	t.Helper()
	res, err := c.Get("http://" + address)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestDoorIsCarriedOverWithItsConnections(t *testing.T) {
	h := newHouse(t)
	first := h.up(h.front(entry("127.0.0.1:0", "", "first", 1)))
	address, c := h.addr(0), client(t)
	if got := ask(t, c, address); got != "first" {
		t.Fatal(got)
	}
	second := h.up(h.front(entry("127.0.0.1:0", "", "second", 1)))
	if err := first.Retire(t.Context()); err != nil {
		t.Error(err)
	}
	h.gone(first)
	if got := ask(t, c, address); got != "second" || h.doors.open[0].server.Conns() != 1 {
		t.Errorf("%q on %d connections", got, h.doors.open[0].server.Conns())
	}
	h.over(first) // has nothing any more
	if got := ask(t, c, address); got != "second" {
		t.Error(got)
	}
	c.CloseIdleConnections()
	h.over(second)
}

func TestChangedSettingsTakeTheSocketOver(t *testing.T) {
	h := newHouse(t)
	first := h.up(h.front(entry("127.0.0.1:0", "", "first", 1)))
	address, c := h.addr(0), client(t)
	ask(t, c, address)
	second := h.up(h.front(entry("127.0.0.1:0", "", "second", 2)))
	if h.addr(1) != address {
		t.Fatalf("now on %s", h.addr(1))
	}
	// The connection of the old server leads to the new generation already.
	if got := ask(t, c, address); got != "second" {
		t.Error(got)
	}
	h.gone(first)
	if err := first.Retire(t.Context()); err != nil {
		t.Error(err)
	}
	if got := ask(t, client(t), address); got != "second" || len(h.doors.open) != 1 {
		t.Errorf("%q, %d doors", got, len(h.doors.open))
	}
	h.over(second)
}

func TestFailedStartLeavesWhatServes(t *testing.T) {
	h := newHouse(t)
	dir := t.TempDir()
	first := h.up(h.front(entry("unix:"+dir+"/a", "", "first", 1)))
	second := h.front(entry("unix:"+dir+"/a", "", "x", 1), entry("unix:"+dir+"/b", "", "x", 1), entry("bad", "", "x", 1), entry("worse", "", "x", 1))
	err := second.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "bad") || !strings.Contains(err.Error(), "worse") {
		t.Fatalf("not all errors: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "b")); err == nil {
		t.Error("a new socket is left")
	}
	// One that was started whole, and never switched to.
	third := h.front(entry("unix:"+dir+"/b", "", "x", 1))
	if err := third.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.over(third)
	if _, err := os.Lstat(filepath.Join(dir, "b")); err == nil {
		t.Error("a new socket is left")
	}
	if nc, err := net.Dial("unix", dir+"/a"); err != nil {
		t.Error(err)
	} else {
		nc.Close()
	}
	h.over(first)
}

// changing is a Server that takes other settings over.
type changing struct {
	plain
	settings atomic.Value
}

func (c *changing) Change(to any) { c.settings.Store(to) }

// Other settings, and another mode of the socket's file, cost no connection; the
// file keeps its mode when the new generation does not start.
func TestChangerKeepsItsConnections(t *testing.T) {
	h := newHouse(t)
	path := filepath.Join(t.TempDir(), "a")
	made := 0
	at := func(settings any, mode os.FileMode) Entry {
		e := entry("unix:"+path, "", "", settings)
		e.File.Mode = mode
		e.New = func(next http.Handler) Server {
			made++
			c := &changing{}
			c.Handler = next
			return c
		}
		return e
	}
	mode := func() os.FileMode {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	first := h.up(h.front(at(1, 0o660)))
	failing := h.front(at(2, 0o600), entry("bad", "", "", 1))
	if err := failing.Start(t.Context()); err == nil || mode() != 0o660 {
		t.Errorf("%v, mode %o", err, mode())
	}
	second := h.up(h.front(at(3, 0o666)))
	if err := first.Retire(t.Context()); err != nil || made != 1 || len(h.doors.open) != 1 || mode() != 0o666 {
		t.Errorf("%v, %d servers, %d doors, mode %o", err, made, len(h.doors.open), mode())
	}
	if got := h.doors.open[0].server.(*changing).settings.Load(); got != 3 {
		t.Errorf("settings %v", got)
	}
	third := h.up(h.front(at(3, 0o640)))
	_ = second.Retire(t.Context())
	if mode() != 0o640 {
		t.Errorf("mode %o", mode())
	}
	h.over(third)
}

// A worker's own address moves to another worker, one goes and one comes.
func TestDoorsMove(t *testing.T) {
	h := newHouse(t)
	dir := t.TempDir()
	at := func(name string) string { return "unix:" + filepath.Join(dir, name) }
	first := h.up(h.front(entry(at("a"), "one", "first one", 1), entry(at("b"), "two", "first two", 1)))
	second := h.front(entry(at("a"), "two", "second two", 1), entry(at("c"), "one", "second one", 1))
	var kinds []string
	for _, change := range second.Plan() {
		kinds = append(kinds, string(change.Kind)+" "+filepath.Base(change.What))
	}
	if got := strings.Join(kinds, ", "); got != "kept a, started c, stopped b" {
		t.Errorf("plan: %s", got)
	}
	h.up(second)
	if err := first.Retire(t.Context()); err != nil {
		t.Error(err)
	}
	h.gone(first)
	for name, want := range map[string]string{"a": "second two", "b": "", "c": "second one"} {
		transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, name))
		}}
		if got := ask(t, &http.Client{Transport: transport}, "x"); got != want && want != "" || want == "" && !strings.Contains(got, "no such file") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	h.over(second)
}

// A running request holds its generation; a retired door's connection that waits
// for a request is given up with ctx.
func TestRetireWaits(t *testing.T) {
	h := newHouse(t)
	running, release := make(chan struct{}), make(chan struct{})
	e := entry("127.0.0.1:0", "", "", 1)
	e.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(running)
		<-release
		_, _ = io.WriteString(w, "first")
	})
	first := h.up(h.front(e))
	address := h.addr(0)
	got := make(chan string, 1)
	go func() { got <- ask(t, client(t), address) }()
	<-running
	second := h.up(h.front(entry("127.0.0.1:0", "", "second", 2)))
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	first.Requests.Close()
	select {
	case <-first.Requests.Done():
		t.Error("let go with a request running")
	case <-short.Done():
	}
	retired := make(chan error, 1)
	go func() { retired <- first.Retire(t.Context()) }()
	close(release)
	if text := <-got; text != "first" {
		t.Error(text)
	}
	if err := <-retired; err != nil {
		t.Error(err)
	}
	<-first.Requests.Done()

	idle, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if got := ask(t, client(t), address); got != "second" { // accepted after idle
		t.Error(got)
	}
	third := h.up(h.front())
	over, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_ = second.Retire(over)
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection is still open")
	}
	h.over(third)
}

func TestOverlapWithAnAddressOfOnesOwnIsExplained(t *testing.T) {
	h := newHouse(t)
	first := h.up(h.front(entry("127.0.0.1:0", "", "first", 1)))
	_, port, _ := net.SplitHostPort(h.addr(0))
	second := h.front(entry("0.0.0.0:"+port, "", "second", 1))
	if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "this server itself") {
		t.Errorf("%v", err)
	}
	h.over(first)
}

func TestBrokenListenerIsTold(t *testing.T) {
	h := newHouse(t)
	f := h.front(entry("127.0.0.1:0", "", "", 1))
	f.Listen = func(string, string, api.SocketFile) (net.Listener, error) { return broken{}, nil }
	told := make(chan error, 1)
	f.Failed = func(err error) { told <- err }
	h.up(f)
	if err := <-told; !strings.Contains(err.Error(), "broken pipe organ") {
		t.Error(err)
	}
	h.over(f)
}

type broken struct{}

func (broken) Accept() (net.Conn, error) { return nil, errors.New("broken pipe organ") }
func (broken) Close() error              { return nil }
func (broken) Addr() net.Addr            { return &net.TCPAddr{} }
