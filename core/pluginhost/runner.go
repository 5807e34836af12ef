package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unicode"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/control"
	"github.com/mevdschee/tqserver/sdk/process"
)

// handshakeLine is what go-plugin prints first on the plugin's stdout.
var handshakeLine = regexp.MustCompile(`^\d+\|\d+\|(tcp|unix)\|`)

// outputKept is how many of the lines printed last an error quotes.
const outputKept = 5

// maxHandshake is the longest handshake line taken for one, in bytes; with a
// certificate in it, it has about 1,000.
const maxHandshake = 16 << 10

// runner is a plugin's process, started, watched and killed by us. go-plugin gets to see the handshake
// line and nothing else of the plugin's output: its readers stop at a long
// line, and its parser of log lines can panic on what a plugin prints.
type runner struct {
	log  *slog.Logger
	host *Host
	spec api.PluginSpec
	as   *owner
	cell string // see Host.enter

	shake     *io.PipeReader
	shakeSend *io.PipeWriter
	shaken    sync.Once

	mu       sync.Mutex
	proc     *process.Process // nil before Start
	group    process.Group
	lifeline *os.File
	killed   bool
	early    []string      // the last lines it printed
	inPart   bool          // the line last kept goes on
	crashed  bool          // the line last kept is that of a Go panic
	greeted  bool          // the handshake line came
	over     chan struct{} // closed when the process and its output are done with
}

func newRunner(h *Host, spec api.PluginSpec, as *owner, log *slog.Logger) *runner {
	r := &runner{log: log, host: h, spec: spec, as: as, over: make(chan struct{})}
	r.shake, r.shakeSend = io.Pipe()
	return r
}

// spawn starts the process with env, go-plugin's part of the environment.
func (r *runner) spawn(env []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.killed {
		return errors.New("stopped before it was started")
	}
	stdout, outLines, err := process.LinePipe(r.stdout)
	if err != nil {
		return err
	}
	defer func() { _ = stdout.Close() }()
	stderr, errLines, err := process.LinePipe(r.stderr)
	if err != nil {
		_ = stdout.Close()
		outLines.Close()
		return err
	}
	defer func() { _ = stderr.Close() }()
	fail := func(err error) error {
		_ = stdout.Close()
		_ = stderr.Close()
		outLines.Close()
		errLines.Close()
		return err
	}
	far, near, err := os.Pipe() // the plugin's end and ours
	if err != nil {
		return fail(err)
	}
	defer func() { _ = far.Close() }()
	proc, err := r.begin(process.Spec{
		Path: r.spec.Command[0], Args: r.spec.Command[1:], Env: r.environment(env), Dir: r.spec.Folder,
		Stdout: stdout, Stderr: stderr, Files: []*os.File{far}, Credential: r.as.attr(),
	})
	if err != nil {
		_ = near.Close()
		return fail(err)
	}
	r.proc, r.group, r.lifeline = proc, proc.Group(), near
	if err := r.host.register(r.group); err != nil {
		_ = r.group.Signal(syscall.SIGKILL)
	}
	go r.watch(outLines, errLines)
	return nil
}

// begin starts the process in its control group: born there, or, on kernels
// before 5.7 and where that is not allowed, moved there before it can have
// started anything.
func (r *runner) begin(s process.Spec) (*process.Process, error) {
	if r.cell == "" {
		return process.Start(s)
	}
	folder, err := os.Open(r.cell)
	if err == nil {
		s.Cgroup = folder
		proc, err := process.Start(s)
		_ = folder.Close()
		if err == nil {
			return proc, nil
		}
		s.Cgroup = nil
	}
	proc, err := process.Start(s)
	if err != nil {
		return nil, err
	}
	if err := writeCgroup(r.cell, "cgroup.procs", strconv.Itoa(proc.PID())); err != nil {
		r.log.Warn("the worker's process cannot be put into its control group; it runs without its limits", "error", err)
	}
	return proc, nil
}

// environment is the whole of the plugin's: the host's own is not passed on,
// it may hold secrets.
func (r *runner) environment(env []string) []string {
	env = append(env, r.spec.Env...)
	for _, name := range []string{"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"} {
		own := slices.ContainsFunc(r.spec.Env, func(pair string) bool { return strings.HasPrefix(pair, name+"=") })
		if value, ok := os.LookupEnv(name); ok && !own {
			env = append(env, name+"="+value)
		}
	}
	level := slog.LevelInfo
	if r.log.Enabled(context.Background(), slog.LevelDebug) {
		level = slog.LevelDebug
	}
	return append(env, control.EnvLifeline+"=3", control.EnvLogLevel+"="+level.String())
}

// watch ends what belongs to the process when it has ended.
func (r *runner) watch(outLines, errLines *process.Lines) {
	defer close(r.over)
	<-r.proc.Done()
	// What the plugin left in its own group cannot serve anybody.
	ctx, cancel := context.WithTimeout(context.Background(), reapWait)
	defer cancel()
	if err := r.group.Kill(ctx); err != nil {
		r.log.Error("killing what the plugin left in its process group", "error", err)
	} else {
		r.host.unregister(r.group)
	}
	outLines.Close()
	errLines.Close()
	r.endShake()
	r.dropLifeline()
}

func (r *runner) stdout(line process.Line) {
	if !line.Part && len(line.Text) <= maxHandshake && handshakeLine.MatchString(line.Text) {
		first := false
		r.shaken.Do(func() { first = true })
		if first {
			r.mu.Lock()
			r.greeted = true
			r.mu.Unlock()
			_, _ = io.WriteString(r.shakeSend, line.Text+"\n") // go-plugin reads, or the pipe is closed
			r.endShake()
			return
		}
	}
	r.keep(line, logLine(r.log, slog.LevelInfo, line))
}

func (r *runner) stderr(line process.Line) {
	r.keep(line, logLine(r.log, slog.LevelWarn, line))
}

// shook reports whether the plugin has sent a handshake.
func (r *runner) shook() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.greeted
}

func (r *runner) endShake() { _ = r.shakeSend.Close() }

// keep remembers the last lines that were not log lines, but nothing after the
// first line of a crash: what follows is its stack.
func (r *runner) keep(line process.Line, logged bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	goesOn := r.inPart
	r.inPart = line.Part
	if goesOn || logged || r.crashed || strings.TrimSpace(line.Text) == "" {
		return
	}
	r.crashed = strings.HasPrefix(line.Text, "panic: ") || strings.HasPrefix(line.Text, "fatal error: ")
	if len(r.early) == outputKept {
		r.early = r.early[1:]
	}
	text := line.Text
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	text = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, text)
	r.early = append(r.early, text)
}

// explain says of a plugin that did not start how it ended, and what it printed.
func (r *runner) explain() string {
	var b strings.Builder
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proc != nil && r.proc.Ended() {
		fmt.Fprintf(&b, " (ended: %s)", ended(r.proc.Err()))
	}
	if len(r.early) > 0 {
		fmt.Fprintf(&b, "; it printed: %s", strings.Join(r.early, " / "))
	}
	return b.String()
}

// printed are the last lines that were not log lines.
func (r *runner) printed() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.early)
}

func ended(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// dropLifeline tells the plugin that its host is done with it.
func (r *runner) dropLifeline() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lifeline != nil {
		_ = r.lifeline.Close()
		r.lifeline = nil
	}
}

// process is nil when it was never started.
func (r *runner) process() *process.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc
}

// kill sends SIGKILL to the group and waits, for as long as ctx, until the
// process and its output are done with.
func (r *runner) kill(ctx context.Context) error {
	r.mu.Lock()
	if r.proc == nil && !r.killed {
		close(r.over) // nothing will be started any more
	}
	r.killed = true
	proc, group := r.proc, r.group
	r.mu.Unlock()
	if proc == nil {
		r.endShake()
		return nil
	}
	if err := group.Kill(ctx); err != nil {
		return err
	}
	select {
	case <-r.over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("plugin %s (pid %d) is still there after SIGKILL", r.spec.Command[0], proc.PID())
	}
}
