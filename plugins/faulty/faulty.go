package faulty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
)

// Settings of the plugin; the zero value has no fault.
type Settings struct {
	// Problem is what Check finds.
	Problem string `json:"problem,omitempty"`
	// Token is a secret, which Check tells as a problem.
	Token string `json:"token,omitempty"`
	// Run is what Run does: "exit" ends the process, "error" returns an error,
	// "panic" panics, "failed" reports Failed, "unready" never reports Ready,
	// "freeze" stops the process (SIGSTOP) before Ready.
	Run string `json:"run,omitempty"`
	// Stop is what Stop does: "hang" does not return, nor does Run.
	Stop string `json:"stop,omitempty"`
	// Child serves from a process group of its own, as php-cgi does.
	Child bool `json:"child,omitempty"`
	// Ill makes Child report Degraded after Ready, and the same Ready again.
	Ill bool `json:"ill,omitempty"`
	// Hidden starts such a process without telling the host.
	Hidden bool `json:"hidden,omitempty"`
	// Foreign is a process group to report that is not the plugin's.
	Foreign int `json:"foreign,omitempty"`
	// Leak starts a grandchild in the plugin's own group that holds its
	// descriptors 1 and 2.
	Leak bool `json:"leak,omitempty"`
	// Flood writes this many bytes without a newline to descriptors 1 and 2.
	Flood int `json:"flood,omitempty"`
}

// ChildArg is the argument by which a test's executable becomes the child that
// serves for the plugin, and LeakArg the one that becomes a leaked grandchild.
const (
	ChildArg = "faulty-child"
	LeakArg  = "faulty-leak"
)

// slowRequest is how long "/slow" takes.
const slowRequest = 500 * time.Millisecond

// Main is the main function of the plugin. mode is a fault before the
// handshake: "crash" exits with 3, "banner" prints lines first, "flood" prints
// 200 KB without a newline first, "hang" does nothing. "breach NAME" breaks the
// protocol otherwise; see breaches.
func Main(mode string) {
	if isBreach(mode) {
		breach(strings.TrimPrefix(mode, "breach "))
		return
	}
	switch mode {
	case "crash":
		fmt.Fprintln(os.Stderr, "cannot go on: no luck today")
		os.Exit(3)
	case "banner":
		fmt.Fprintln(os.Stdout, "Welcome to the faulty plugin!")
		fmt.Fprint(os.Stdout, "It ends no line")
	case "flood":
		fmt.Fprint(os.Stdout, strings.Repeat("x", 200<<10))
	case "hang":
		forever()
	}
	sdk.ServePlugin(New(sdk.Logger()))
}

// New returns the plugin.
func New(log *slog.Logger) sdk.Plugin {
	return &plugin{log: log, Plugin: sdk.HandlerPlugin(Handler(log), log)}
}

type plugin struct {
	sdk.Plugin // serves in the plugin's own process

	log      *slog.Logger
	settings Settings
	child    *child
}

// Describe implements sdk.Plugin.
func (p *plugin) Describe() sdk.Description {
	return sdk.Description{
		Name: "faulty", Version: "1.0", Summary: "Faults on demand.", Features: []string{"faults"},
		SettingsSchema: json.RawMessage(`{"properties": {"token": {"type": "string", "writeOnly": true}}}`),
	}
}

// Check implements sdk.Plugin.
func (p *plugin) Check(_ context.Context, w sdk.Worker) []sdk.Problem {
	var s Settings
	if err := json.Unmarshal(w.Settings, &s); len(w.Settings) > 0 && err != nil {
		return []sdk.Problem{{Message: err.Error()}}
	}
	if s.Token != "" {
		return []sdk.Problem{{Path: "token", Message: "it is " + s.Token}}
	}
	if s.Problem != "" {
		return []sdk.Problem{{Path: "problem", Message: s.Problem}}
	}
	return nil
}

// Metrics implements sdk.Meter.
func (p *plugin) Metrics(ctx context.Context) ([]byte, error) {
	m, ok := p.Plugin.(sdk.Meter)
	if !ok {
		return nil, errors.New("the inner plugin has no metrics")
	}
	return m.Metrics(ctx)
}

// Run implements sdk.Plugin.
func (p *plugin) Run(ctx context.Context, w sdk.Worker, report func(sdk.State)) error {
	if len(w.Settings) > 0 {
		if err := json.Unmarshal(w.Settings, &p.settings); err != nil {
			return err
		}
	}
	s := p.settings
	p.log.Info("faulty runs", "worker_of_plugin", w.Name, "flood", s.Flood)
	if err := p.makeMess(); err != nil {
		return err
	}
	report(sdk.State{Kind: sdk.Starting, Reason: "about to do " + s.Run, ProcessGroups: foreign(s)})
	switch s.Run {
	case "exit":
		os.Exit(4)
	case "error":
		return errors.New("run went wrong")
	case "panic":
		panic("run panicked")
	case "failed":
		report(sdk.State{Kind: sdk.Failed, Reason: "no way to serve"})
	case "freeze":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
	if s.Run == "unready" || s.Run == "failed" || s.Run == "freeze" {
		<-ctx.Done()
		return nil
	}
	if s.Child {
		return p.runChild(ctx, w, report)
	}
	err := p.Plugin.Run(ctx, w, report)
	if s.Stop == "hang" && ctx.Err() == nil {
		<-ctx.Done()
	}
	return err
}

// Stop implements sdk.Plugin.
func (p *plugin) Stop(ctx context.Context) {
	switch {
	case p.settings.Stop == "hang":
		select {}
	case p.child != nil:
		p.child.stop(ctx)
	default:
		p.Plugin.Stop(ctx)
	}
}

func foreign(s Settings) []int {
	if s.Foreign == 0 {
		return nil
	}
	return []int{s.Foreign}
}

func (p *plugin) makeMess() error {
	if p.settings.Leak {
		executable, err := os.Executable()
		if err != nil {
			return err
		}
		//nolint:noctx // it is to outlive everything
		leak := exec.Command(executable, LeakArg)
		leak.Stdout, leak.Stderr = os.Stdout, os.Stderr
		if err := leak.Start(); err != nil {
			return err
		}
	}
	if p.settings.Hidden {
		executable, err := os.Executable()
		if err != nil {
			return err
		}
		if _, err := process.Start(process.Spec{Path: executable, Args: []string{LeakArg}}); err != nil {
			return err
		}
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if _, err := io.WriteString(f, strings.Repeat("junk\x00\xff", p.settings.Flood/6)); err != nil {
			return err
		}
	}
	return nil
}

// LeakMain is a process that does nothing and does not end.
func LeakMain() { forever() }

// forever is not select{}, which the runtime takes for a deadlock.
func forever() {
	for {
		_ = unix.Pause()
	}
}

// Handler answers with its process's number, or does what the path says.
func Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "pid %d", os.Getpid())
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { _ = echo(w, r) })
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Join(os.Environ(), "\n"))
	})
	mux.HandleFunc("/fds", func(w http.ResponseWriter, _ *http.Request) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			panic(err)
		}
		for _, e := range entries {
			target, _ := os.Readlink("/proc/self/fd/" + e.Name())
			fmt.Fprintf(w, "%s %s\n", e.Name(), target)
		}
	})
	mux.HandleFunc("/print", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(os.Stdout, "printed to stdout")
		fmt.Fprintln(os.Stderr, "printed to stderr")
		fmt.Fprint(w, "ok")
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("as asked") })
	mux.HandleFunc("/half", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("half way")
	})
	mux.HandleFunc("/exit", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "begun")
		_ = http.NewResponseController(w).Flush()
		fmt.Fprintln(os.Stderr, "no way to go on")
		os.Exit(5)
	})
	mux.HandleFunc("/freeze", func(_ http.ResponseWriter, r *http.Request) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		<-r.Context().Done() // the signal may take a moment
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		log.Info("slow request")
		select {
		case <-time.After(slowRequest):
		case <-r.Context().Done():
		}
		fmt.Fprint(w, "slow")
	})
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
		log.Info("endless request")
		fmt.Fprint(w, "waiting")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/lines", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		for i := range n {
			fmt.Fprintln(os.Stderr, "line", i)
		}
		fmt.Fprint(w, "ok")
	})
	return mux
}
