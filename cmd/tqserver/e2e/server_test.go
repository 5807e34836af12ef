package e2e

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// baseConfig is the configuration of a test's server: every port is free.
const baseConfig = `
http:
  listen: ["127.0.0.1:0"]
fastcgi:
  listen: ["127.0.0.1:0", "unix:f.sock"]
router:
static:
backend:
  workers: workers
server:
  drain_timeout: 15s
log:
  format: json
`

// startWait is how long a server may take to start; a loaded machine under
// the race detector needs most of it.
const startWait = 30 * time.Second

// options of a server; the zero value serves testdata/workers/app at /.
type options struct {
	workers []string            // folders of testdata/workers; nil means app
	files   map[string]string   // by path in the server's folder, over all else
	config  string              // for --config; empty means config/tqserver.yaml
	sets    []string            // for --set
	args    []string            // more of them
	env     []string            // added to a clean environment
	within  time.Duration       // how long the start may take; 0 means startWait
	binary  string              // the server; empty means the one of TestMain
	dir     string              // folder of a server that ran before, used as it is
	fails   bool                // the start must fail
	wrap    []string            // command that executes the server
	passed  []*os.File          // from descriptor 3 on
	user    *syscall.Credential // whom the server runs as; nil means the test's
}

// server is one running tqserver in a folder of its own.
type server struct {
	dir  string
	pid  int
	log  *logBook
	http string // host:port
	tcp  string // FastCGI, host:port
	unix string // FastCGI, path

	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process has been waited for
	exitErr error         // of Wait; read after exited
	files   int           // open when it was ready
	allowed []string      // words of ERROR lines that the test provokes
	over    bool          // the test itself ended it
}

// start runs a server until the end of the test and then asserts that it stops
// in order and leaves nothing behind.
func start(t *testing.T, o options) *server {
	t.Helper()
	s := launch(t, o)
	t.Cleanup(func() { s.finish(t) })
	if o.fails {
		return s
	}
	within := o.within
	if within == 0 {
		within = startWait
	}
	poll(t, within, "the server is ready", func() bool {
		select {
		case <-s.exited:
			t.Fatalf("the server did not start: %v", s.exitErr)
		default:
		}
		_, ok := s.log.find(0, `"msg":"ready"`)
		return ok
	})
	for _, line := range s.log.all() {
		switch address := line.text("address"); {
		case line.msg == "serving HTTP" && s.http == "" && strings.Contains(address, ":"):
			s.http = address
		case line.msg == "serving FastCGI" && !strings.Contains(address, "/") && strings.Contains(address, ":") && s.tcp == "":
			s.tcp = address
		}
	}
	s.unix = filepath.Join(s.dir, "f.sock")
	s.files = len(openFiles(s.pid))
	return s
}

// folder makes the folder of a server: configuration and workers.
func folder(t *testing.T, o options) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tq") //nolint:usetesting // a unix socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "config/tqserver.yaml"), baseConfig)
	workers := o.workers
	if workers == nil {
		workers = []string{"app"}
	}
	for _, w := range workers {
		to := filepath.Join(dir, "workers", w)
		if err := os.CopyFS(to, os.DirFS(filepath.Join("testdata/workers", w))); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range workers {
		data := filepath.Join(dir, "workers", w, "data") // for the marks scripts leave
		if err := errors.Join(os.MkdirAll(data, 0o777), os.Chmod(data, 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.files)) {
		write(t, filepath.Join(dir, name), o.files[name])
	}
	return dir
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// launch starts the process and returns at once.
func launch(t *testing.T, o options) *server {
	t.Helper()
	s := &server{dir: o.dir, log: &logBook{}, exited: make(chan struct{})}
	if s.dir == "" {
		s.dir = folder(t, o)
	}
	args := []string{"serve", "--config", cmp.Or(o.config, "config/tqserver.yaml")}
	for _, set := range o.sets {
		args = append(args, "--set", set)
	}
	args = append(args, o.args...)
	binary := o.binary
	if binary == "" {
		binary = serverBinary
	}
	args = append(append(append([]string{}, o.wrap...), binary), args...)
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.ExtraFiles = o.passed
	s.cmd.Dir = s.dir
	s.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "HOME=" + s.dir}, o.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	// A terminal's Ctrl-C must reach the test first.
	s.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Credential: o.user}
	// Whoever keeps the log open after the server's end is a leak.
	s.cmd.WaitDelay = 5 * time.Second
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.pid = s.cmd.Process.Pid
	go func() {
		s.exitErr = s.cmd.Wait()
		close(s.exited)
	}()
	return s
}

// allow names words of ERROR lines that the test provokes.
func (s *server) allow(words ...string) { s.allowed = append(s.allowed, words...) }

func (s *server) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("signal %v: %v", sig, err)
	}
}

// wait waits for the end of the process and returns its exit code, -1 when a
// signal ended it.
func (s *server) wait(t *testing.T, within time.Duration) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	select {
	case <-s.exited:
	case <-ctx.Done():
		t.Errorf("the server did not end within %v", within)
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	if errors.Is(s.exitErr, exec.ErrWaitDelay) {
		t.Error("after its end another process still held the server's stdout or stderr")
	}
	return s.cmd.ProcessState.ExitCode()
}

// finish stops the server, unless the test did, and asserts what must hold
// after every run.
func (s *server) finish(t *testing.T) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", s.dir, s.log)
		}
	}()
	if !s.over {
		family := s.family()
		select {
		case <-s.exited:
			t.Errorf("the server ended by itself: %v", s.exitErr)
		default:
			s.atRest(t)
			s.signal(t, unix.SIGTERM)
			if code := s.wait(t, 45*time.Second); code != 0 {
				t.Errorf("exit code %d after SIGTERM, want 0", code)
			}
		}
		s.gone(t, family)
	}
	s.clean(t)
}

// atRest asserts that nothing is left of the requests when no client is: no
// connection, no temporary file.
func (s *server) atRest(t *testing.T) {
	t.Helper()
	const kept = 10 // connections to children
	var open []string
	// What a pool keeps is ended after its idle_timeout of 10 s.
	if !becomes(15*time.Second, func() bool {
		open = openFiles(s.pid)
		spooled := slices.ContainsFunc(open, func(name string) bool { return strings.Contains(name, "spool-") })
		return len(open) <= s.files+kept && !spooled
	}) {
		t.Errorf("%d files were open at the start, %d are at the end: %v", s.files, len(open), open)
	}
}

// gone asserts that no process of the family is left.
func (s *server) gone(t *testing.T, family []proc) {
	t.Helper()
	left := func() []proc { return append(living(family), s.family()...) }
	if !becomes(2*time.Second, func() bool { return len(left()) == 0 }) {
		t.Errorf("processes left: %v", left())
		for _, p := range left() {
			_ = unix.Kill(p.pid, unix.SIGKILL)
		}
	}
}

// clean asserts that sockets and the runtime folder's content are gone, and
// that the log has no error but the allowed ones.
func (s *server) clean(t *testing.T) {
	t.Helper()
	_ = filepath.WalkDir(s.dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || name == s.dir:
		case d.Type()&fs.ModeSocket != 0:
			t.Errorf("unix socket left: %s", name)
		// The lock of the folder stays: to remove it would let two servers hold it.
		case filepath.Dir(name) == filepath.Join(s.dir, "run") && d.Name() != ".lock":
			t.Errorf("left in the runtime folder: %s", name)
		}
		return nil
	})
	for _, line := range s.log.all() {
		expected := slices.ContainsFunc(s.allowed, func(word string) bool { return line.has(word) })
		switch {
		case strings.Contains(line.raw, "DATA RACE"), strings.HasPrefix(line.raw, "panic:"), strings.HasPrefix(line.raw, "goroutine "):
			t.Errorf("in the log: %s", line.raw)
		case line.level == "ERROR" && !expected:
			t.Errorf("unexpected ERROR in the log: %s", line.raw)
		}
	}
}

// path of a file in the server's folder.
func (s *server) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// data is a mark that a script of worker app leaves or waits for.
func (s *server) data(name string) string { return s.path("workers/app/data", name) }

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// open lets a script go on that waits at a gate.
func (s *server) open(t *testing.T, gate string) {
	t.Helper()
	write(t, s.data(gate+".go"), "")
}

// dial opens a connection for raw protocol, closed with the test.
func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func mustMode(t *testing.T, name string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}
