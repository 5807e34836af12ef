package etcdconf

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestReadSeesThePrefixOnly(t *testing.T) {
	e := startEtcd(t)
	for key, value := range map[string]string{"/tq/tqserver.yaml": "http:", "/tq/workers/a/worker.yaml": "path: /", "/tq2/tqserver.yaml": "no", "/tq": "no", "tq/x": "no"} {
		e.put(t, key, value)
	}
	files, err := e.source(t, "tq").Read(t.Context())
	if err != nil || texts(files) != "map[tqserver.yaml:http: workers/a/worker.yaml:path: /]" {
		t.Errorf("%s %v", texts(files), err)
	}
}

func TestReadSaysWhyNot(t *testing.T) {
	nobody := "etcd://" + freePort(t) + "/tq"
	s, err := Parse(nobody, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Read(t.Context())
	if !errors.Is(err, ErrAway) || !strings.HasPrefix(err.Error(), nobody+": etcd does not answer within 5s: dial tcp") || !strings.Contains(err.Error(), "refused; is it there?") {
		t.Error(err)
	}
}

// With users of its own, etcd wants a name and a password; neither stands in an error.
func TestReadSignsIn(t *testing.T) {
	e := startEtcd(t)
	e.put(t, "/tq/tqserver.yaml", "http:")
	e.do(t, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.UserAdd(ctx, "root", "s3cret")
		_, err2 := c.UserGrantRole(ctx, "root", "root")
		_, err3 := c.AuthEnable(ctx)
		return errors.Join(err, err2, err3)
	})
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := e.client + "/tq"
	for name, c := range map[string]struct {
		config string
		env    map[string]string
		want   string
	}{
		"nobody":    {"etcd://" + at, nil, "user name is empty"},
		"file":      {"etcd://root@" + at + "?password_file=" + file, nil, ""},
		"variables": {"etcd://" + at, map[string]string{"ETCDCTL_USER": "root:s3cret"}, ""},
		"both":      {"etcd://root@" + at, map[string]string{"ETCDCTL_PASSWORD": "s3cret"}, ""},
		"wrong":     {"etcd://root@" + at, map[string]string{"ETCDCTL_PASSWORD": "s3cret2"}, "authentication failed"},
	} {
		s, err := Parse(c.config, func(name string) string { return c.env[name] })
		if err != nil {
			t.Fatal(err)
		}
		files, err := s.Read(t.Context())
		if c.want == "" {
			if err != nil || len(files) != 1 {
				t.Errorf("%s: %v %v", name, files, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What changes is told once, also what changed while etcd was away, or was compacted
// away, or after its data were lost.
func TestWatchTellsChanges(t *testing.T) {
	e := startEtcd(t)
	e.put(t, "/tq/tqserver.yaml", "one")
	source := e.source(t, "tq")
	var log logBook
	changes := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		source.Watch(ctx, slog.New(slog.NewTextHandler(&log, nil)), Files{"tqserver.yaml": []byte("zero")}, func() {
			files, err := source.Read(ctx)
			if err != nil {
				changes <- err.Error()
				return
			}
			changes <- texts(files)
		})
	})
	next := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		select {
		case got := <-changes:
			if got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("%q was not told:\n%s", want, &log)
		}
	}
	next("map[tqserver.yaml:one]") // other than what was given
	e.put(t, "/other/x", "nothing of ours")
	e.put(t, "/tq/tqserver.yaml", "one") // the same again
	e.do(t, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Txn(ctx).Then(clientv3.OpPut("/tq/tqserver.yaml", "two"), clientv3.OpPut("/tq/x", "x")).Commit()
		return err
	})
	next("map[tqserver.yaml:two x:x]")
	e.do(t, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Delete(ctx, "/tq/x")
		return err
	})
	next("map[tqserver.yaml:two]")

	// It dies, and comes back: nothing has changed, so nothing is told.
	e.kill()
	log.await(t, "etcd is away", 1)
	e.start(t)
	log.await(t, "etcd is back", 1)
	e.put(t, "/tq/tqserver.yaml", "three")
	next("map[tqserver.yaml:three]")

	// It comes back without its data, and with lower revisions.
	e.kill()
	log.await(t, "etcd is away", 2)
	if err := os.RemoveAll(e.data); err != nil {
		t.Fatal(err)
	}
	e.start(t)
	next("map[]")
	e.put(t, "/tq/tqserver.yaml", "four")
	next("map[tqserver.yaml:four]")
	if len(changes) > 0 {
		t.Errorf("told once more: %s", <-changes)
	}
}
