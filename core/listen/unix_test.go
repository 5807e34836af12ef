package listen

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

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
		l, file, err := listenUnix(path, Options{Mode: 0o600})
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

// The next generation brings back a socket whose file was removed by hand.
func TestRemovedFileIsMadeAnew(t *testing.T) {
	s := newSet(t)
	path := filepath.Join(t.TempDir(), "s")
	old := mustListen(t, s, "unix:"+path, Options{})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	next := mustListen(t, s, "unix:"+path, Options{})
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	dial(t, next.Addr())
	if _, err := accept(t, next); err != nil {
		t.Fatal(err)
	}
}

func TestGroupOfASocket(t *testing.T) {
	group, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	if err != nil {
		t.Skip("the own group has no name")
	}
	set := NewSet(slog.New(slog.DiscardHandler))
	path := filepath.Join(t.TempDir(), "s")
	l, err := set.Listen("unix:"+path, Options{Group: group.Name})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for _, o := range []Options{{Group: "no such group"}, {Owner: "no such user"}} {
		if _, err := set.Listen("unix:"+path, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the file of a failed start is left")
	}
}

func TestOwnerOfASocket(t *testing.T) {
	name := "nobody"
	if os.Geteuid() != 0 {
		me, err := user.Current()
		if err != nil {
			t.Skip("the own user has no name")
		}
		name = me.Username
	}
	owner, err := user.Lookup(name)
	if err != nil {
		t.Skip(err)
	}
	set := NewSet(slog.New(slog.DiscardHandler))
	path := filepath.Join(t.TempDir(), "s")
	l, err := set.Listen("unix:"+path, Options{Owner: name, Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if uid := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Uid)); uid != owner.Uid || info.Mode().Perm() != 0o600 {
		t.Errorf("it is %s's, mode %v", uid, info.Mode())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
