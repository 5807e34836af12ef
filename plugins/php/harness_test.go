package php

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needPHP skips without php-cgi, and fails where tests must run.
func needPHP(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("php-cgi"); err != nil {
		if os.Getenv("TQ_E2E") == "require" {
			t.Fatal("TQ_E2E=require, but there is no php-cgi: apt-get install php-cgi")
		}
		t.Skip("no php-cgi")
	}
}

// logBook keeps log records as JSON lines.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// find returns the first record whose message holds text.
func (l *logBook) find(text string) map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.buf.Bytes()) {
		var record map[string]any
		if json.Unmarshal(line, &record) == nil && strings.Contains(record["msg"].(string), text) {
			return record
		}
	}
	return nil
}

// count returns how many records hold text.
func (l *logBook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.buf.Bytes(), []byte(text))
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return cut(l.buf.String(), 4000)
}

// host stands for the server: it runs one plugin with a worker.
type host struct {
	t      *testing.T
	plugin sdk.Plugin
	worker sdk.Worker
	log    *logBook
	err    chan error

	mu     sync.Mutex
	states []sdk.State
}

// newWorker makes a worker whose document root holds scripts (name, content, …).
func newWorker(t *testing.T, settings string, scripts ...string) sdk.Worker {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := sdk.Worker{
		Name: "test", Folder: dir, DocumentRoot: filepath.Join(dir, "public"), RuntimeFolder: filepath.Join(dir, "run"),
		MaxWorkers: 4, Settings: json.RawMessage(settings),
	}
	for _, d := range []string{w.DocumentRoot, w.RuntimeFolder} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < len(scripts); i += 2 {
		if err := os.WriteFile(filepath.Join(w.DocumentRoot, scripts[i]), []byte(scripts[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// start runs the worker until the test ends.
func start(t *testing.T, w sdk.Worker) *host {
	t.Helper()
	return startWith(t, w, deathWindow)
}

// startWith is start with another window for deaths.
func startWith(t *testing.T, w sdk.Worker, window time.Duration) *host {
	t.Helper()
	needPHP(t)
	log := &logBook{}
	h := &host{t: t, worker: w, log: log, err: make(chan error, 1), plugin: New(slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))}
	h.plugin.(*plugin).window = window
	go func() {
		h.err <- h.plugin.Run(t.Context(), w, func(s sdk.State) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.states = append(h.states, s)
		})
	}()
	t.Cleanup(func() {
		h.stop(10 * time.Second)
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	h.eventually("ready", func() bool { return h.last(sdk.Ready).Kind != 0 || len(h.err) > 0 })
	return h
}

// stop stops the plugin and checks that nothing is left. It may be called twice.
func (h *host) stop(grace time.Duration) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.t.Context()), grace)
	defer cancel()
	h.plugin.Stop(ctx)
	h.eventually("Run to return", func() bool { return len(h.err) == 1 })
	for _, pid := range h.processes() {
		h.t.Errorf("php-cgi %d is left", pid)
	}
	if left, _ := filepath.Glob(filepath.Join(h.worker.RuntimeFolder, "*.sock")); len(left) > 0 {
		h.t.Errorf("sockets are left: %v", left)
	}
}

// processes lists the live php-cgi processes of this worker, by its php.ini in
// their command line.
func (h *host) processes() (pids []int) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, dir := range dirs {
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && bytes.Contains(line, []byte(h.worker.RuntimeFolder+"/php.ini")) {
			pids = append(pids, atoi(h.t, filepath.Base(dir)))
		}
	}
	return pids
}

// all returns the states of a kind.
func (h *host) all(kind sdk.StateKind) []sdk.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.states), func(s sdk.State) bool { return s.Kind != kind })
}

// statusOf is /proc/PID/status.
func statusOf(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// last returns the last state of a kind.
func (h *host) last(kind sdk.StateKind) (s sdk.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, state := range h.states {
		if state.Kind == kind {
			s = state
		}
	}
	return s
}

func (h *host) endpoint() sdk.Endpoint {
	h.t.Helper()
	s := h.last(sdk.Ready)
	if len(s.Endpoints) != 1 {
		h.t.Fatalf("endpoints of %+v (%d errors)", s, len(h.err))
	}
	return s.Endpoints[0]
}

// eventually polls: what is waited for happens in other processes.
func (h *host) eventually(what string, ok func() bool) {
	h.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("waited 60 s for %s\nlog:\n%s", what, h.log)
		}
	}
}

// dial opens a connection to an endpoint.
func (h *host) dial(e sdk.Endpoint) *fastcgi.Conn {
	h.t.Helper()
	nc, err := new(net.Dialer).DialContext(h.t.Context(), e.Network, e.Address)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		h.t.Fatal(err)
	}
	c := fastcgi.NewConn(nc, fastcgi.ConnOptions{})
	h.t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask runs script over c, with more params (name, value, …), and returns the body.
func (h *host) ask(c *fastcgi.Conn, script string, more ...string) string {
	h.t.Helper()
	body, err := h.try(c, script, more...)
	if err != nil {
		h.t.Fatalf("%s: %v", script, err)
	}
	return body
}

func (h *host) try(c *fastcgi.Conn, script string, more ...string) (string, error) {
	params := fastcgi.Params{
		{Name: "REQUEST_METHOD", Value: "GET"},
		{Name: "SCRIPT_FILENAME", Value: filepath.Join(h.worker.DocumentRoot, script)},
		{Name: "SCRIPT_NAME", Value: "/" + script},
		{Name: "DOCUMENT_ROOT", Value: h.worker.DocumentRoot},
	}
	for i := 0; i < len(more); i += 2 {
		params = append(params, fastcgi.Param{Name: more[i], Value: more[i+1]})
	}
	if err := c.Start(fastcgi.Responder, true, params, []byte{}); err != nil {
		return "", err
	}
	all, err := io.ReadAll(c)
	_, body, _ := strings.Cut(string(all), "\r\n\r\n")
	return body, err
}

// get is ask on a connection of its own.
func (h *host) get(script string, more ...string) string {
	h.t.Helper()
	c := h.dial(h.endpoint())
	defer func() { _ = c.Close() }()
	return h.ask(c, script, more...)
}

func slogDiscard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// stopAtOnce runs the plugin and stops it while it starts.
func (h *host) stopAtOnce() {
	h.t.Helper()
	started := make(chan struct{})
	go func() {
		h.err <- h.plugin.Run(h.t.Context(), h.worker, func(s sdk.State) {
			if s.Kind == sdk.Starting {
				close(started)
			}
		})
	}()
	<-started
	h.stop(5 * time.Second)
	if err := <-h.err; err != nil {
		h.t.Error(err)
	}
}
