package listen

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// bindEnv makes the test binary bind the path it holds and sleep: a second
// server, to be killed.
const bindEnv = "LISTEN_TEST_BIND"

func TestMain(m *testing.M) {
	if path := os.Getenv(bindEnv); path != "" {
		l, err := NewSet(slog.New(slog.DiscardHandler)).Listen("unix:"+path, Options{})
		if err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			return
		}
		os.Stdout.WriteString("ready\n")
		_, _ = io.Copy(io.Discard, os.Stdin) // until killed, or the test is gone
		_ = l.Close()
		return
	}
	goleak.VerifyTestMain(m)
}

func newSet(t *testing.T) *Set {
	t.Helper()
	s := NewSet(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func mustListen(t *testing.T, s *Set, address string, o Options) net.Listener {
	t.Helper()
	l, err := s.Listen(address, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// accept runs Accept with a deadline.
func accept(t *testing.T, l net.Listener) (net.Conn, error) {
	t.Helper()
	type result struct {
		c   net.Conn
		err error
	}
	got := make(chan result, 1)
	go func() {
		c, err := l.Accept()
		got <- result{c, err}
	}()
	select {
	case r := <-got:
		if r.c != nil {
			t.Cleanup(func() { r.c.Close() })
		}
		return r.c, r.err
	case <-time.After(5 * time.Second):
		t.Fatal("accept did not return")
		return nil, nil
	}
}

func TestNextGenerationTakesOver(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "a.sock")} {
		t.Run(address[:4], func(t *testing.T) {
			s := newSet(t)
			first := mustListen(t, s, address, Options{})
			second := mustListen(t, s, address, Options{})
			if s.Addresses() != 1 {
				t.Fatalf("%d sockets, want 1", s.Addresses())
			}

			blocked := make(chan error, 1)
			go func() {
				_, err := first.Accept()
				blocked <- err
			}()
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-blocked:
				if !errors.Is(err, net.ErrClosed) {
					t.Fatalf("accept on a closed handle: %v", err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("accept on a closed handle did not return")
			}
			if _, err := accept(t, first); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("accept after close: %v", err)
			}

			dial(t, second.Addr())
			if _, err := accept(t, second); err != nil {
				t.Fatalf("the other handle: %v", err)
			}
			if err := errors.Join(first.Close(), second.Close(), second.Close()); err != nil {
				t.Fatal(err)
			}
			if s.Addresses() != 0 {
				t.Fatal("the socket is still open")
			}
			if _, err := net.DialTimeout(second.Addr().Network(), second.Addr().String(), time.Second); err == nil {
				t.Fatal("the address still takes connections")
			}
			if path, ok := strings.CutPrefix(address, "unix:"); ok {
				if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("the file is left: %v", err)
				}
			}
			mustListen(t, s, address, Options{}) // and again
		})
	}
}

// A connection made at any moment of a hundred takeovers is served.
func TestTakeoverLosesNoConnection(t *testing.T) {
	s := newSet(t)
	const address = "127.0.0.1:0"
	serve := func(l net.Listener, wg *sync.WaitGroup) {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("x"))
			c.Close()
		}
	}
	var servers, clients sync.WaitGroup
	current := mustListen(t, s, address, Options{})
	servers.Add(1)
	go serve(current, &servers)
	addr := current.Addr().String()

	var stop atomic.Bool
	var served atomic.Int64
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				c, err := net.DialTimeout("tcp", addr, 5*time.Second)
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				if b, err := io.ReadAll(c); err != nil || string(b) != "x" {
					t.Errorf("read %q, %v", b, err)
				}
				c.Close()
				served.Add(1)
			}
		})
	}
	for i := range int64(100) {
		next := mustListen(t, s, address, Options{})
		servers.Add(1)
		go serve(next, &servers)
		if err := current.Close(); err != nil {
			t.Error(err)
		}
		current = next
		for deadline := time.Now().Add(10 * time.Second); served.Load() < 4*i && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond) //nolint:forbidigo // a poll with a deadline
		}
	}
	stop.Store(true)
	clients.Wait()
	current.Close()
	servers.Wait()
}

func TestModeOfUnixSocket(t *testing.T) {
	old := syscall.Umask(0o077) // mode is given in full whatever the umask
	defer syscall.Umask(old)
	for _, mode := range []fs.FileMode{0, 0o600, 0o660, 0o666} {
		s := newSet(t)
		path := filepath.Join(t.TempDir(), "s")
		mustListen(t, s, "unix:"+path, Options{Mode: mode})
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		want := mode
		if mode == 0 {
			want = DefaultMode
		}
		if info.Mode().Perm() != want {
			t.Errorf("mode %o, want %o", info.Mode().Perm(), want)
		}
		mustListen(t, s, "unix:"+path, Options{Mode: 0o640})
		if info, err = os.Lstat(path); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("after the next generation asked for 0640: %v, %v", info.Mode(), err)
		}
	}
}

// The file never has a wider mode than asked for, not even before chmod: with
// umask 0 a plain bind would make it 0777.
func TestModeIsNeverWider(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "s")
	var widest atomic.Uint32
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if info, err := os.Lstat(path); err == nil {
				widest.Store(widest.Load() | uint32(info.Mode().Perm()))
			}
		}
	})
	for range 200 {
		l, file, err := listenUnix(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(file.remove(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	watcher.Wait()
	if got := widest.Load(); got&^0o600 != 0 {
		t.Fatalf("the file had mode %o for a moment", got)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "deep", "s") // folders are made
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), bindEnv+"="+path)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 256)
	n, _ := out.Read(line)
	if string(line[:n]) != "ready\n" {
		t.Fatalf("other server: %q", line[:n])
	}

	s := newSet(t)
	_, err = s.Listen("unix:"+path, Options{})
	if err == nil || !strings.Contains(err.Error(), "is in use by process ") {
		t.Fatalf("a live socket: %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the live socket's file: %v", err)
	}

	_ = other.Process.Kill()
	_ = other.Wait()
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		t.Fatalf("nothing stale was left: %v", err)
	}
	l := mustListen(t, s, "unix:"+path, Options{})
	dial(t, l.Addr())
	if _, err := accept(t, l); err != nil {
		t.Fatal(err)
	}
}

// Of many starts at once on one stale path exactly one wins.
func TestStartsRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()

	var won atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		s := newSet(t)
		wg.Go(func() {
			l, err := s.Listen("unix:"+path, Options{})
			if err == nil {
				won.Add(1)
				go func() { // drain the others' tries
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						c.Close()
					}
				}()
			} else if !strings.Contains(err.Error(), "in use") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d starts won", won.Load())
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	datagram, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "unixgram", filepath.Join(dir, "gram"))
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	tests := []struct{ name, address, want string }{
		{"no port", "127.0.0.1", "write host:port or unix:path"},
		{"empty port", "127.0.0.1:", "write host:port or unix:path"},
		{"empty", "", "write host:port or unix:path"},
		{"no path", "unix:", "the path of a file"},
		{"abstract", "unix:@tqserver", "the path of a file"},
		{"nul", "unix:/tmp/a\x00b", "the path of a file"},
		{"too long", "unix:" + dir + "/" + strings.Repeat("a", 108), "a unix socket's may have 107"},
		{"a file", "unix:" + file, "no socket; remove it"},
		{"a folder", "unix:" + dir, "no socket; remove it"},
		{"a dangling link", "unix:" + link, "no socket; remove it"},
		{"below a file", "unix:" + file + "/s", "not a directory"},
		{"a datagram socket", "unix:" + filepath.Join(dir, "gram"), "may be in use"},
		{"port in use", taken.Addr().String(), "another program has this port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSet(t)
			l, err := s.Listen(tt.address, Options{})
			if err == nil {
				l.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%q lacks %q", err, tt.want)
			}
		})
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Fatalf("the file was touched: %q, %v", b, err)
	}
	if _, err := os.Lstat(link); err != nil {
		t.Fatal(err)
	}
}

// Somebody else's socket under our path stays when we close.
func TestReplacedFileIsLeft(t *testing.T) {
	s := newSet(t)
	path := filepath.Join(t.TempDir(), "s")
	l := mustListen(t, s, "unix:"+path, Options{})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("a file that is not ours was removed: %v", err)
	}
}

// starved fails with EMFILE until fed.
type starved struct {
	net.Listener
	fed   atomic.Bool
	tries atomic.Int64
}

func (l *starved) Accept() (net.Conn, error) {
	if !l.fed.Load() {
		l.tries.Add(1)
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestOutOfDescriptors(t *testing.T) {
	var log lockedBuffer
	s := NewSet(slog.New(slog.NewTextHandler(&log, nil)))
	inner, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &starved{Listener: inner}
	s.mu.Lock()
	sock := newShared(s, "k", "127.0.0.1:0", l, nil)
	s.open["k"] = sock
	h := sock.handle()
	s.mu.Unlock()

	dial(t, inner.Addr())
	start := time.Now()
	for l.tries.Load() < 5 && time.Since(start) < 5*time.Second {
		time.Sleep(time.Millisecond) //nolint:forbidigo // a poll with a deadline
	}
	// Pauses of 5, 10, 20 and 40 ms lie between five tries.
	if d := time.Since(start); d < 70*time.Millisecond {
		t.Errorf("five tries within %v: no back-off", d)
	}
	l.fed.Store(true)
	if _, err := accept(t, h); err != nil {
		t.Fatalf("not recovered: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d log lines, want 1:\n%s", n, log.String())
	}
}

func TestCloseDuringBackOff(t *testing.T) {
	s := NewSet(slog.New(slog.DiscardHandler))
	inner, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &starved{Listener: inner}
	s.mu.Lock()
	sock := newShared(s, "k", "a", l, nil)
	s.open["k"] = sock
	h := sock.handle()
	s.mu.Unlock()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
