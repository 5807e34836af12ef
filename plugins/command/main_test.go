package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
)

// The test binary is the program, too.
func TestMain(m *testing.M) {
	if mode := os.Getenv("PROGRAM"); mode != "" {
		programMain(mode)
		syscall.Exit(0) // os.Exit waits a second under the race detector
	}
	goleak.VerifyTestMain(m)
}

// programMain serves where the environment says. It ends in order by SIGTERM,
// unless it is stubborn.
func programMain(mode string) {
	switch mode {
	case "crash":
		fmt.Fprintln(os.Stdout, "about to begin")
		fmt.Fprintln(os.Stderr, "no database")
		syscall.Exit(3)
	case "mute":
		never := make(chan os.Signal, 1)
		signal.Notify(never, syscall.SIGUSR2) // which nobody sends
		<-never
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		child := exec.Command("/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done")
		if child.Start() != nil {
			syscall.Exit(4)
		}
	}
	network, address := "tcp", net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT"))
	if mode == "localhost" {
		address = net.JoinHostPort("::1", os.Getenv("PORT"))
	}
	if path := os.Getenv("SOCKET_PATH"); path != "" {
		network, address = "unix", path
	}
	l, err := net.Listen(network, address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		syscall.Exit(5)
	}
	if mode != "stubborn" {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		go func() {
			<-signals
			fmt.Fprintln(os.Stdout, "goodbye")
			syscall.Exit(0)
		}()
	}
	var sick atomic.Bool
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/exit":
			fmt.Fprintln(os.Stderr, "cannot go on")
			syscall.Exit(6)
		case "/sick":
			sick.Store(true)
		case "/freeze":
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		case "/facts":
			dir, _ := os.Getwd()
			var limit syscall.Rlimit
			_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
			_ = json.NewEncoder(w).Encode(facts{os.Getpid(), dir, os.Args[1:], os.Environ(), limit.Cur})
			return
		}
		if sick.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprint(w, os.Getpid())
	}))
}

type facts struct {
	PID   int
	Dir   string
	Args  []string
	Env   []string
	Files uint64
}

// book keeps the log.
type book struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// host stands for the server: it runs one plugin with a worker.
type host struct {
	t      *testing.T
	plugin sdk.Plugin
	worker sdk.Worker
	log    *book
	ended  chan error

	mu     sync.Mutex
	states []sdk.State
}

// newWorker is one whose program is this test in a mode.
func newWorker(t *testing.T, mode string, more map[string]any) sdk.Worker {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	run, err := os.MkdirTemp("", "tqc") //nolint:usetesting // a unix socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	section := map[string]any{
		"exec": []string{os.Args[0], "on", "$HOST:${PORT}"}, "env": map[string]string{"PROGRAM": mode, "COLOR": "text:red"},
		"health": map[string]any{"interval": "50ms", "timeout": "20s"},
	}
	maps.Copy(section, more)
	raw, err := json.Marshal(section)
	if err != nil {
		t.Fatal(err)
	}
	return sdk.Worker{Name: "test", Folder: dir, RuntimeFolder: run, MaxWorkers: 9, Settings: raw}
}

// run runs the plugin until the end of the test and asserts that nothing is left.
func run(t *testing.T, w sdk.Worker) *host {
	t.Helper()
	h := &host{t: t, worker: w, log: &book{}, ended: make(chan error, 1)}
	h.plugin = New(slog.New(slog.NewJSONHandler(h.log, nil)))
	if problems := h.plugin.Check(t.Context(), w); len(problems) > 0 {
		t.Fatal(problems)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { h.ended <- h.plugin.Run(ctx, w, h.report) }()
	t.Cleanup(func() {
		h.stop(time.Minute)
		cancel()
	})
	return h
}

func (h *host) report(s sdk.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states = append(h.states, s)
}

func (h *host) stop(within time.Duration) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	h.plugin.Stop(ctx)
	err := <-h.ended
	h.ended <- err
	for _, s := range h.all() {
		for _, id := range s.ProcessGroups {
			if members := process.FindGroup(id).Members(); len(members) > 0 {
				h.t.Errorf("left of group %d: %v", id, members)
			}
		}
	}
	if left, _ := os.ReadDir(h.worker.RuntimeFolder); len(left) > 0 {
		h.t.Errorf("left in the runtime folder: %v", left)
	}
}

func (h *host) all() []sdk.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]sdk.State(nil), h.states...)
}

// await waits for the first state from the given one on that is as wanted.
func (h *host) await(from int, what string, wanted func(sdk.State) bool) (sdk.State, int) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		for i, s := range h.all() {
			if i >= from && wanted(s) {
				return s, i + 1
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			h.t.Fatalf("%s: %+v\n%s", what, h.all(), h.log)
		}
	}
}

func (h *host) ready(from, endpoints int) (sdk.State, int) {
	h.t.Helper()
	return h.await(from, "ready", func(s sdk.State) bool { return s.Kind == sdk.Ready && len(s.Endpoints) == endpoints })
}

func (h *host) degraded(from int, reason string) (sdk.State, int) {
	h.t.Helper()
	return h.await(from, "degraded: "+reason, func(s sdk.State) bool { return s.Kind == sdk.Degraded && strings.Contains(s.Reason, reason) })
}

// get asks one endpoint; an answer that does not come is empty.
func get(e sdk.Endpoint, path string) string {
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, e.Network, e.Address)
		},
		DisableKeepAlives: true,
	}}
	res, err := client.Get("http://localhost" + path)
	if err != nil {
		return ""
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}
