package control

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/core/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake records what it was asked for.
type fake struct{ waited chan error }

func (f *fake) Info() Info { return Info{PID: 7, Version: "v"} }

func (f *fake) Reload(ctx context.Context, dry bool) (Reloaded, error) {
	if !dry {
		<-ctx.Done()
		f.waited <- ctx.Err()
		return Reloaded{}, ctx.Err()
	}
	return Reloaded{Changes: []api.Change{{Kind: api.ChangeKept, What: "worker blog"}}, Problems: "p"}, nil
}

func (f *fake) Restart(_ context.Context, worker string) error {
	if worker != "blog" {
		return errors.New("first line\nsecond line")
	}
	return nil
}

func (f *fake) Status(_ context.Context, worker string, full bool) ([]api.WorkerStatus, error) {
	if worker == "" || !full {
		return nil, errors.New("asked for something else")
	}
	return []api.WorkerStatus{{Worker: worker, PoolCounters: api.PoolCounters{Done: 3}}}, nil
}

func serve(t *testing.T, f *fake) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(f, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop(context.Background())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return NewClient(path)
}

func TestCalls(t *testing.T) {
	c := serve(t, &fake{})
	ctx := t.Context()
	if info, err := c.Info(ctx); err != nil || info.PID != 7 {
		t.Errorf("%+v %v", info, err)
	}
	if r, err := c.Reload(ctx, true); err != nil || r.Problems != "p" || len(r.Changes) != 1 || r.Changes[0].What != "worker blog" {
		t.Errorf("%+v %v", r, err)
	}
	if err := c.Restart(ctx, "blog"); err != nil {
		t.Error(err)
	}
	if err := c.Restart(ctx, "other"); err == nil || err.Error() != "first line\nsecond line" {
		t.Errorf("%v", err)
	}
	if s, err := c.Status(ctx, "blog", true); err != nil || len(s) != 1 || s[0].Done != 3 {
		t.Errorf("%+v %v", s, err)
	}
}

// The server gives up when the client has, by its deadline or by leaving.
func TestServerKnowsTheClientsPatience(t *testing.T) {
	f := &fake{waited: make(chan error, 1)}
	c := serve(t, f)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Reload(ctx, false); err == nil {
		t.Error("no error")
	}
	select {
	case err := <-f.waited:
		if err == nil {
			t.Error("no reason")
		}
	case <-time.After(5 * time.Second):
		t.Error("the server still waits")
	}
}

func TestNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	if _, err := NewClient(filepath.Join(dir, "none")).Info(t.Context()); !errors.Is(err, ErrNoServer) {
		t.Errorf("%v", err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "dead"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := NewClient(filepath.Join(dir, "dead")).Info(t.Context()); !errors.Is(err, ErrNoServer) {
		t.Errorf("%v", err)
	}
}

func TestOnlyTheOwnUserAndRoot(t *testing.T) {
	for _, c := range []struct {
		uid, own int
		may      bool
	}{{1000, 1000, true}, {0, 1000, true}, {1001, 1000, false}, {1000, 0, false}, {-1, 0, false}} {
		if mayControl(c.uid, c.own) != c.may {
			t.Errorf("%+v", c)
		}
	}
	// A peer whose user is not known is refused, and said so.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	done := make(chan error, 1)
	go func() {
		_, err := (&ownUsers{l, slog.New(slog.NewTextHandler(&log, nil))}).Accept()
		done <- err
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("not closed")
	}
	l.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) || !strings.Contains(log.String(), "refused") {
		t.Errorf("%v; log %s", err, log.String())
	}
}
