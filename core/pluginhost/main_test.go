package pluginhost

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/plugins/faulty"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// The test binary is the plugin, its child, the guardian and a host, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case GuardianArg:
			syscall.Exit(GuardianMain(os.Stdin))
		case "faulty":
			faulty.Main(strings.Join(os.Args[2:], " "))
			syscall.Exit(0) // os.Exit waits a second under the race detector
		case faulty.ChildArg:
			faulty.ChildMain()
			syscall.Exit(0)
		case faulty.LeakArg:
			faulty.LeakMain()
		case "host":
			hostMain(os.Args[2])
		}
	}
	// Most of the time is spent waiting for processes, not computing.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of a test for something that must happen.
const patience = time.Minute

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; !done(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		<-time.After(pause)
	}
}

// logSink keeps log lines.
type logSink struct {
	mu    sync.Mutex
	lines []string
}

func (s *logSink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, string(p))
	return len(p), nil
}

func (s *logSink) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "")
}

func (s *logSink) has(parts ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.lines, func(line string) bool {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				return false
			}
		}
		return true
	})
}

type testHost struct {
	*Host
	log *logSink
}

func executableOf(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// shortDir is a folder whose path leaves room for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tqt") //nolint:usetesting // t.TempDir's path is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func newTestHost(t *testing.T, change ...func(*timing)) *testHost {
	t.Helper()
	sink := &logSink{}
	h, err := New(Options{
		RuntimeFolder: shortDir(t), Executable: executableOf(t),
		Log: slog.New(slog.NewTextHandler(sink, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&h.timing)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.groups) > 0 || len(h.plugins) > 0 {
			t.Errorf("left: groups %v, %d plugins", h.groups, len(h.plugins))
		}
		if t.Failed() {
			t.Logf("log:\n%s", sink.all())
		}
	})
	return &testHost{Host: h, log: sink}
}

func spec(t *testing.T, s faulty.Settings, mode ...string) api.PluginSpec {
	t.Helper()
	settings, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return api.PluginSpec{
		Type: "faulty", Command: append([]string{executableOf(t), "faulty"}, mode...),
		Worker: "demo", Folder: "/", MaxWorkers: 4, Settings: settings,
	}
}

// pool is what a plugin's events are told to: it remembers.
type pool struct {
	mu    sync.Mutex
	sets  []api.EndpointSet
	downs []string
	last  string // "ready" or "down"
	ills  []string
}

func (p *pool) events() api.PluginEvents {
	return api.PluginEvents{
		Ready: func(s api.EndpointSet) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.sets = append(p.sets, s)
			p.last = "ready"
		},
		Down: func(reason string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.downs = append(p.downs, reason)
			p.last = "down"
		},
		Degraded: func(reason string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ills = append(p.ills, reason)
		},
	}
}

func (p *pool) set(n int) (api.EndpointSet, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n >= len(p.sets) {
		return api.EndpointSet{}, false
	}
	return p.sets[n], true
}

func (p *pool) wait(t *testing.T, n int) api.EndpointSet {
	t.Helper()
	eventually(t, fmt.Sprintf("set %d of endpoints", n), func() bool { _, ok := p.set(n); return ok })
	s, _ := p.set(n)
	return s
}

func (p *pool) down() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.downs)
}

func start(t *testing.T, h *testHost, s api.PluginSpec) (api.Plugin, *pool) {
	t.Helper()
	p := &pool{}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	plugin, err := h.Start(ctx, s, p.events())
	if err != nil {
		t.Fatalf("Start: %v\n%s", err, h.log.all())
	}
	return plugin, p
}

func stop(t *testing.T, p api.Plugin) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func request(e sdk.Endpoint, path string) (string, error) {
	nc, err := net.DialTimeout(e.Network, e.Address, patience)
	if err != nil {
		return "", err
	}
	c := fastcgi.NewConn(nc, fastcgi.ConnOptions{})
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	params := fastcgi.Params{
		{Name: "REQUEST_METHOD", Value: "GET"},
		{Name: "REQUEST_URI", Value: path},
		{Name: "HTTP_HOST", Value: "x"},
		{Name: "SERVER_PROTOCOL", Value: "HTTP/1.1"},
	}
	if err := c.Start(fastcgi.Responder, true, params, []byte{}); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// serverPID asks who serves.
func serverPID(t *testing.T, s api.EndpointSet) int {
	t.Helper()
	text, err := request(s.Endpoints[0], "/")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(text, "\r\n\r\n")
	pid := 0
	if _, err := fmt.Sscanf(body, "pid %d", &pid); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return pid
}

func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	state := procState(pid)
	return state != "" && state != "Z"
}

// procState is the letter of /proc/PID/stat, empty when there is no such process.
func procState(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("pid %d", pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
	if sig == syscall.SIGSTOP {
		eventually(t, "the process stopped", func() bool { return procState(pid) == "T" })
	}
}

// pluginPID is the process of a plugin running now.
func pluginPID(t *testing.T, h *testHost, other int) int {
	t.Helper()
	pid := 0
	eventually(t, "a plugin process", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for g := range h.groups {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", g.ID))
			if g.ID != other && strings.Contains(string(b), "\x00faulty") && !strings.Contains(string(b), faulty.ChildArg) {
				pid = g.ID
				return true
			}
		}
		return false
	})
	return pid
}
