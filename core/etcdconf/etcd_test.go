package etcdconf

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wait is when a test gives up.
const wait = 60 * time.Second

// etcd is Debian's server, on a port and with data of its own.
type etcd struct {
	path, data   string
	client, peer string
	cmd          *exec.Cmd
	output       bytes.Buffer
}

// startEtcd starts a real server, which ends with the test.
func startEtcd(t *testing.T) *etcd {
	t.Helper()
	path, err := exec.LookPath("etcd")
	if err != nil {
		if os.Getenv("TQ_E2E") == "require" {
			t.Fatal("TQ_E2E=require: etcd is not installed")
		}
		t.Skip("etcd is not installed")
	}
	e := &etcd{path: path, data: filepath.Join(t.TempDir(), "data"), client: freePort(t), peer: freePort(t)}
	t.Cleanup(e.kill)
	e.start(t)
	return e
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (e *etcd) start(t *testing.T) {
	t.Helper()
	e.cmd = exec.Command(e.path, "--data-dir", e.data, "--listen-client-urls", "http://"+e.client, "--advertise-client-urls", "http://"+e.client,
		"--listen-peer-urls", "http://"+e.peer, "--initial-advertise-peer-urls", "http://"+e.peer, "--initial-cluster", "default=http://"+e.peer)
	e.cmd.Stdout, e.cmd.Stderr = &e.output, &e.output
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	source := e.source(t, "any")
	until := time.Now().Add(wait)
	for {
		if _, err := source.Read(t.Context()); err == nil {
			return
		} else if time.Now().After(until) {
			e.kill()
			t.Fatalf("etcd does not start: %v\n%s", err, e.output.String())
		}
	}
}

func (e *etcd) kill() {
	if e.cmd != nil && e.cmd.ProcessState == nil {
		_ = e.cmd.Process.Kill()
		_ = e.cmd.Wait()
	}
}

func (e *etcd) source(t *testing.T, prefix string) *Source {
	t.Helper()
	s, err := Parse("etcd://"+e.client+"/"+prefix, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// do runs with a client of its own.
func (e *etcd) do(t *testing.T, what func(ctx context.Context, c *clientv3.Client) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.client}, Logger: zap.NewNop(), Context: ctx})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := what(ctx, c); err != nil {
		t.Fatal(err)
	}
}

func (e *etcd) put(t *testing.T, key, value string) {
	t.Helper()
	e.do(t, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Put(ctx, key, value)
		return err
	})
}

// logBook collects what is logged.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// await waits until the log holds the words so many times.
func (b *logBook) await(t *testing.T, words string, times int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(wait); strings.Count(b.String(), words) < times; <-tick.C {
		if time.Now().After(until) {
			t.Fatalf("no %q, %d times, in:\n%s", words, times, b)
		}
	}
}

// texts are files for a comparison.
func texts(f Files) string { return fmt.Sprintf("%s", map[string][]byte(f)) }
