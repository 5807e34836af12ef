package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/front"
)

// fronts makes generations that share doors, on one port.
type fronts struct {
	doors   front.Doors
	address string
}

func (f *fronts) next(t *testing.T, cfg Config, op api.Operator) *front.Front {
	t.Helper()
	g := newFront(cfg, newAdmin(t, cfg, op, false), front.Deps{
		Doors: &f.doors, Requests: front.NewRequests(), Log: slog.New(slog.DiscardHandler),
		Claim:  func(string, string) error { return nil },
		Failed: func(err error) { t.Error(err) },
		Listen: func(_, a string, _ api.SocketFile) (net.Listener, error) {
			l, err := net.Listen("tcp", a)
			if err == nil {
				f.address = l.Addr().String()
			}
			return l, err
		},
	})
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.Switch()
	return g
}

func stop(t *testing.T, s interface{ Stop(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func local() Config {
	cfg := DefaultConfig()
	cfg.Listen = []string{"127.0.0.1:0"}
	return cfg
}

// ask sends a request on a connection and returns the status and body.
func ask(c net.Conn, path string) (int, string, error) {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		return 0, "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

func dial(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestAReloadKeepsSocketAndConnections: the next generation answers on the
// connection that is open, with its own settings.
func TestAReloadKeepsSocketAndConnections(t *testing.T) {
	t.Parallel()
	var f fronts
	before := f.next(t, local(), &fakeOperator{workers: []api.WorkerStatus{{Worker: "old", State: api.WorkerDown}}})
	c := dial(t, "127.0.0.1", f.address)
	if code, body, err := ask(c, "/readyz"); code != 503 || body != "not ready\nworker old is down\n" {
		t.Fatal(code, body, err)
	}
	address := f.address
	cfg := local()
	cfg.Hosts = []string{"other"}
	after := f.next(t, cfg, &fakeOperator{})
	if err := before.Retire(t.Context()); err != nil {
		t.Error(err)
	}
	if code, body, err := ask(c, "/readyz"); code != 200 || body != "ready\n" || f.address != address {
		t.Error(code, body, err, f.address, address)
	}
	stop(t, before)
	if code, _, err := ask(c, "/healthz"); code != 200 {
		t.Error("the stop of an older generation closed the door of the newer one:", code, err)
	}
	// A connection that says nothing does not hold the end up.
	silent := dial(t, "127.0.0.1", f.address)
	if code, _, err := ask(dial(t, "127.0.0.1", f.address), "/healthz"); code != 200 { // so silent was accepted
		t.Error(code, err)
	}
	began := time.Now()
	stop(t, after)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("stopped after %v", took)
	}
	_ = silent.Close()
}

// TestWhoMayConnect: others than admin.allow names, and more than
// max_connections, are cut off without an answer.
func TestWhoMayConnect(t *testing.T) {
	t.Parallel()
	var f fronts
	cfg := local()
	cfg.Allow, cfg.MaxConnections = []string{"127.0.0.1/32"}, 2
	g := f.next(t, cfg, &fakeOperator{})
	defer stop(t, g)
	if code, _, err := ask(dial(t, "127.0.0.2", f.address), "/healthz"); err == nil {
		t.Errorf("127.0.0.2 got %d", code)
	}
	first, second := dial(t, "127.0.0.1", f.address), dial(t, "127.0.0.1", f.address)
	for _, c := range []net.Conn{first, second} {
		if code, _, err := ask(c, "/healthz"); code != 200 {
			t.Errorf("%d %v", code, err)
		}
	}
	if code, _, err := ask(dial(t, "127.0.0.1", f.address), "/healthz"); err == nil {
		t.Errorf("the third got %d", code)
	}
	_ = first.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C { // the place is free again
		if code, _, err := ask(dial(t, "127.0.0.1", f.address), "/healthz"); code == 200 {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(code, err)
		}
	}
}

func TestARequestWithoutEndIsEnded(t *testing.T) {
	t.Parallel()
	var f fronts
	g := f.next(t, local(), &fakeOperator{})
	defer stop(t, g)
	for _, text := range []string{"GET / HT", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\nabc"} {
		c := dial(t, "127.0.0.1", f.address)
		_ = c.SetDeadline(time.Now().Add(readWait + 10*time.Second))
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Errorf("%q: still open after %v: %v", text, readWait, err)
		}
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
