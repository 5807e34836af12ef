package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/front"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRouter answers with what it was asked by; a worker's own socket with
// that worker's name.
type fakeRouter struct{}

func (fakeRouter) ServeHTTP(w http.ResponseWriter, r *http.Request) { answer(w, r, "router") }

func (fakeRouter) ForWorker(name string) (http.Handler, error) {
	if name == "nobody" {
		return nil, errors.New("no worker is named nobody")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r, name) }), nil
}

func answer(w http.ResponseWriter, r *http.Request, who string) {
	f := api.FastCGIFrom(r.Context())
	if r.URL.Path == "/missing" {
		_, _ = io.WriteString(f.Stderr, "Primary script unknown\n")
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s body=%s err=%v X=%s", who, r.Method, r.URL.Path, body, err != nil, f.Params.Get("HTTP_X_A"))
	if r.URL.Path == "/id" {
		fmt.Fprintf(w, " id=%s", api.RequestID(r.Context()))
	}
}

func deps(t *testing.T, listen api.Listen) front.Deps {
	t.Helper()
	return front.Deps{
		Doors: &front.Doors{}, Requests: front.NewRequests(), Listen: listen,
		Failed: func(err error) { t.Error(err) }, Log: slog.New(slog.DiscardHandler),
	}
}

// start serves on unix sockets below a temporary folder.
func start(t *testing.T, cfg Config, workers api.Workers) {
	t.Helper()
	s, err := New(cfg, fakeRouter{}, workers, deps(t, func(_, a string, _ api.SocketFile) (net.Listener, error) {
		network, path, ok := strings.Cut(a, ":")
		if !ok {
			return nil, fmt.Errorf("bad address %s", a)
		}
		return net.Listen(network, path)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Switch()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for range 2 { // Stop works twice
			if err := s.Stop(ctx); err != nil {
				t.Error(err)
			}
		}
	})
}

// ask sends one request to a unix socket and returns its STDOUT and STDERR.
func ask(t *testing.T, socket, body string, params ...fastcgi.Param) (stdout, stderr string) {
	t.Helper()
	nc, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var errs strings.Builder
	c := fastcgi.NewConn(nc, fastcgi.ConnOptions{Stderr: func(b []byte) { errs.Write(b) }})
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	all := append(fastcgi.Params{
		{Name: "REQUEST_METHOD", Value: "POST"}, {Name: "SERVER_PROTOCOL", Value: "HTTP/1.1"}, {Name: "HTTP_HOST", Value: "h"},
	}, params...)
	if err := c.Start(fastcgi.Responder, false, all, []byte(body)); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), errs.String()
}

func TestServesCommonAndOwnSockets(t *testing.T) {
	dir := t.TempDir()
	common, own := filepath.Join(dir, "c"), filepath.Join(dir, "o")
	cfg := DefaultConfig()
	cfg.Listen = []string{"unix:" + common}
	cfg.MaxBodySize = 10
	start(t, cfg, api.Workers{{Name: "blog", Listen: []string{"unix:" + own}}, {Name: "other"}})
	for _, c := range []struct{ name, socket, path, body, want string }{
		{"common", common, "/x", "hi", "router POST /x body=hi err=false X=good"},
		{"own", own, "/x", "hi", "blog POST /x body=hi err=false X=good"},
		{"no body", common, "/x", "", "router POST /x body= err=false X=good"},
		{"too large", common, "/x", "01234567890", "413 Request Entity Too Large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, _ := ask(t, c.socket, c.body, fastcgi.Param{Name: "REQUEST_URI", Value: c.path},
				fastcgi.Param{Name: "CONTENT_LENGTH", Value: strconv.Itoa(len(c.body))},
				// PHP would fold the first to the second.
				fastcgi.Param{Name: "HTTP_X.A", Value: "evil"}, fastcgi.Param{Name: "HTTP_X_A", Value: "good"})
			if !strings.HasSuffix(strings.TrimSpace(out), c.want) {
				t.Errorf("got %q, want %q at its end", out, c.want)
			}
		})
	}
}

func TestRequestIDIsTheWebServers(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "c")
	cfg := DefaultConfig()
	cfg.Listen = []string{"unix:" + socket}
	start(t, cfg, nil)
	for sent, kept := range map[string]bool{"from-nginx": true, "": false, "no id": false} {
		out, _ := ask(t, socket, "", fastcgi.Param{Name: "REQUEST_URI", Value: "/id"},
			fastcgi.Param{Name: "REQUEST_ID", Value: sent}, fastcgi.Param{Name: "HTTP_X_REQUEST_ID", Value: "from-client"})
		_, id, _ := strings.Cut(out, " id=")
		if (id == sent) != kept || id == "from-client" || !kept && len(id) != 32 {
			t.Errorf("sent %q, got %q", sent, id)
		}
	}
}

func TestReasonReachesTheWebServersLog(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "c")
	cfg := DefaultConfig()
	cfg.Listen = []string{"unix:" + socket}
	start(t, cfg, nil)
	out, stderr := ask(t, socket, "", fastcgi.Param{Name: "REQUEST_URI", Value: "/missing"})
	if !strings.HasPrefix(out, "Status: 404") || stderr != "Primary script unknown\n" {
		t.Errorf("got %q, STDERR %q", out, stderr)
	}
}

func TestNewRefuses(t *testing.T) {
	cfg := DefaultConfig()
	cfg.AllowedClients = []string{"example.org"}
	if _, err := New(cfg, fakeRouter{}, nil, deps(t, nil)); err == nil || !strings.Contains(err.Error(), "allowed_clients") {
		t.Errorf("got %v", err)
	}
	if _, err := New(DefaultConfig(), fakeRouter{}, api.Workers{{Name: "nobody", Listen: []string{"unix:x"}}}, deps(t, nil)); err == nil {
		t.Error("a worker the router does not know got a socket")
	}
}

func TestStartUndoesWhatHalfSucceeded(t *testing.T) {
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.Listen = []string{"unix:" + filepath.Join(dir, "a"), "nonsense"}
	var opened net.Listener
	s, err := New(cfg, fakeRouter{}, nil, deps(t, func(_, a string, _ api.SocketFile) (net.Listener, error) {
		if a == "nonsense" {
			return nil, errors.New("bad address")
		}
		l, err := net.Listen("unix", strings.TrimPrefix(a, "unix:"))
		opened = l
		return l, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Fatal("started")
	}
	if _, err := opened.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the first listener is still open: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// brokenListener fails once, as at the limit of open files.
type brokenListener struct{ failed bool }

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.failed {
		return nil, net.ErrClosed
	}
	l.failed = true
	return nil, errors.New("accept4: too many open files")
}

func (*brokenListener) Close() error   { return nil }
func (*brokenListener) Addr() net.Addr { return &net.UnixAddr{} }

func TestFailedAcceptIsLoggedAndTriedAgain(t *testing.T) {
	var log strings.Builder
	_ = newServer(DefaultConfig(), http.NotFoundHandler(), slog.New(slog.NewTextHandler(&log, nil))).Serve(&brokenListener{})
	if !strings.Contains(log.String(), "too many open files") {
		t.Errorf("log: %s", log.String())
	}
}

// What a worker says of its own addresses holds for them alone.
func TestOwnAddressesHaveTheirOwnAccess(t *testing.T) {
	mode := fs.FileMode(0o600)
	files := map[string]api.SocketFile{}
	cfg := DefaultConfig()
	cfg.Listen, cfg.SocketGroup = []string{"127.0.0.1:0"}, "web"
	addresses := map[string]string{}
	s, err := New(cfg, fakeRouter{}, api.Workers{
		{Name: "own", Listen: []string{"127.0.0.1:0", "127.0.0.1:00"}, Access: api.Access{Mode: &mode, Owner: "me", Group: "mine", Clients: []string{"127.0.0.9"}}},
		{Name: "plain", Listen: []string{"127.0.0.1:000"}},
	}, deps(t, func(setting, a string, file api.SocketFile) (net.Listener, error) {
		files[setting] = file
		l, err := net.Listen("tcp", a)
		if err == nil {
			addresses[setting] = l.Addr().String()
		}
		return l, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Switch()
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	own, plain := api.SocketFile{Mode: 0o600, Owner: "me", Group: "mine"}, api.SocketFile{Mode: 0o660, Group: "web"}
	for setting, want := range map[string]api.SocketFile{
		"fastcgi.listen[0]": plain, "worker plain: fastcgi.listen[0]": plain, "worker own: fastcgi.listen[0]": own, "worker own: fastcgi.listen[1]": own,
	} {
		if files[setting] != want {
			t.Errorf("%s: got %+v, want %+v", setting, files[setting], want)
		}
	}
	for setting, allowed := range map[string]bool{"fastcgi.listen[0]": true, "worker plain: fastcgi.listen[0]": true, "worker own: fastcgi.listen[0]": false} {
		conn, err := net.Dial("tcp", addresses[setting])
		if err != nil {
			t.Fatal(err)
		}
		c := fastcgi.NewConn(conn, fastcgi.ConnOptions{})
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		err = c.Start(fastcgi.Responder, false, fastcgi.Params{
			{Name: "REQUEST_METHOD", Value: "GET"}, {Name: "SERVER_PROTOCOL", Value: "HTTP/1.1"}, {Name: "HTTP_HOST", Value: "h"}, {Name: "REQUEST_URI", Value: "/"},
		}, []byte{})
		if err == nil {
			_, err = io.ReadAll(c)
		}
		if (err == nil) != allowed {
			t.Errorf("%s: %v", setting, err)
		}
		_ = conn.Close()
	}
}

func TestNoAddressAtAllIsAnError(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = nil
	for _, workers := range []api.Workers{nil, {{Name: "a", Listen: []string{"127.0.0.1:0"}}}} {
		s, err := New(cfg, fakeRouter{}, workers, front.Deps{Claim: func(string, string) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context(), true); (err == nil) != (workers != nil) {
			t.Errorf("%d workers: %v", len(workers), err)
		}
	}
}
