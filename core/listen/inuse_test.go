package listen

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	open := func(network, address string) net.Listener {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	tcp := open("tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(tcp.Addr().String())
	all := open("tcp", ":0")
	_, allPort, _ := net.SplitHostPort(all.Addr().String())
	absolute := open("unix", filepath.Join(dir, "a.sock"))
	relative := open("unix", "r.sock")
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	gone := open("tcp", "127.0.0.1:0")
	free := gone.Addr().String()
	_ = gone.Close()
	dead := open("unix", "dead.sock")
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close()

	for _, c := range []struct {
		address string
		used    bool
	}{
		{tcp.Addr().String(), true},
		{"0.0.0.0:" + port, true},
		{":" + port, true},
		{"127.0.0.2:" + port, false},
		{"127.0.0.1:" + allPort, true},
		{free, false},
		{"127.0.0.1:0", false},
		{"unix:" + dir + "/a.sock", true},
		{"unix:a.sock", true},
		{"unix:link/a.sock", true},
		{"unix:r.sock", true},
		{"unix:" + dir + "/r.sock", true},
		{"unix:dead.sock", false},
		{"unix:none.sock", false},
		{"unix:none/none.sock", false},
	} {
		used, by, err := InUse(c.address)
		if err != nil || used != c.used {
			t.Errorf("%s: %v, %v, want %v", c.address, used, err, c.used)
		}
		if used && (len(by) != 1 || by[0].PID != os.Getpid() || !strings.HasPrefix(by[0].String(), "process ")) {
			t.Errorf("%s is held by %v", c.address, by)
		}
	}
	// Nobody was disturbed: no connection waits to be accepted.
	for _, l := range []net.Listener{tcp, all, absolute, relative} {
		deadline := l.(interface{ SetDeadline(time.Time) error })
		if err := deadline.SetDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		if conn, err := l.Accept(); err == nil {
			t.Errorf("%s: a connection of %s", l.Addr(), conn.RemoteAddr())
		}
	}
	if err := os.WriteFile("file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"unix:file": "no socket", "nowhere": "write host:port", "192.0.2.1:80": "this machine has no such address",
		"unix:" + strings.Repeat("x", 200): "200 bytes",
	} {
		if _, _, err := InUse(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
