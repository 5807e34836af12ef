package php

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// wire is a connection as the pool holds one.
type wire struct {
	*fastcgi.Conn
	id sdk.Connection
}

// wire dials an endpoint.
func (h *host) wire(e sdk.Endpoint) wire {
	h.t.Helper()
	nc, err := new(net.Dialer).DialContext(h.t.Context(), e.Network, e.Address)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		h.t.Fatal(err)
	}
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		h.t.Fatal(err)
	}
	var st unix.Stat_t
	if err := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) }); err != nil {
		h.t.Fatal(err)
	}
	w := wire{fastcgi.NewConn(nc, fastcgi.ConnOptions{}), sdk.Connection(st.Ino)}
	h.t.Cleanup(func() { _ = w.Close() })
	return w
}

func (h *host) retire(r sdk.Retirement) (sdk.Process, error) {
	return h.plugin.(sdk.Retirer).Retire(h.t.Context(), r)
}

func (h *host) inspect(i sdk.Inspection) []sdk.Process {
	h.t.Helper()
	found, err := h.plugin.(sdk.Inspector).Inspect(h.t.Context(), i)
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

// run starts a request and lets it run; what comes of it goes to the channel.
func (h *host) run(c *fastcgi.Conn, script string) <-chan error {
	over := make(chan error, 1)
	go func() {
		_, err := h.try(c, script)
		over <- err
	}()
	return over
}

const pidScript = `<?php echo getmypid();`

func TestRetirementLosesNoRequest(t *testing.T) {
	t.Parallel()
	w := newWorker(t, ``, "pid.php", pidScript)
	w.MaxWorkers = 2
	h := start(t, w)
	seen := map[string]bool{}
	for range 50 {
		c := h.wire(h.endpoint())
		pid := h.ask(c.Conn, "pid.php")
		if seen[pid] {
			t.Fatalf("pid %s serves after its retirement", pid)
		}
		seen[pid] = true
		told, err := h.retire(sdk.Retirement{Connection: c.id, Reason: "max_requests"})
		if err != nil || told.PID != atoi(t, pid) || told.Connection != c.id {
			t.Fatalf("%+v, %v; want pid %s", told, err, pid)
		}
		// The order of the pool: the end of file, then the next connection.
		if _, err := h.try(c.Conn, "pid.php"); err == nil {
			t.Fatal("a retired child answers")
		}
		_ = c.Close()
	}
	h.eventually("all children", func() bool { return len(h.processes()) == 1+2+spare })
	h.eventually("the log", func() bool { return h.log.find("php-cgi child retired") != nil })
	if r := h.log.find("php-cgi child was killed"); r != nil {
		t.Errorf("a retirement is taken for a crash: %v", r)
	}
	if s := h.last(sdk.Degraded); s.Kind != 0 {
		t.Errorf("retirements are taken for deaths: %v", s)
	}
}

func TestSpareChildIsThereBeforeTheRetirement(t *testing.T) {
	t.Parallel()
	w := newWorker(t, ``, "pid.php", pidScript)
	w.MaxWorkers = 1
	h := start(t, w)
	// The parent cannot fork: what serves next was there before.
	parent := h.endpoint().ProcessGroups[0]
	c := h.wire(h.endpoint())
	h.ask(c.Conn, "pid.php")
	if err := syscall.Kill(parent, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(parent, syscall.SIGCONT) }()
	if _, err := h.retire(sdk.Retirement{Connection: c.id}); err != nil {
		t.Fatal(err)
	}
	_, _ = h.try(c.Conn, "pid.php")
	_ = c.Close()
	h.get("pid.php")
	if err := syscall.Kill(parent, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	h.eventually("the spare one's spare", func() bool { return len(childrenOf(parent)) == 2 })
}

func TestRetireKillsNothingElse(t *testing.T) {
	t.Parallel()
	h := start(t, newWorker(t, ``, "pid.php", pidScript,
		"fork.php", `<?php exec("sleep 61 </dev/null >/dev/null 2>&1 & echo $!", $out); echo getmypid(), " ", $out[0];`))
	c := h.wire(h.endpoint())
	pid, grandchild, _ := strings.Cut(h.ask(c.Conn, "fork.php"), " ")
	sleeper := atoi(t, grandchild)
	defer func() { _ = syscall.Kill(sleeper, syscall.SIGKILL) }()
	// Debian's 8.2 leaks the connection into what a script starts.
	if sockets, err := socketsOf(sleeper); err != nil {
		t.Errorf("sockets of the grandchild: %v, %v", sockets, err)
	}
	others := h.processes()
	told, err := h.retire(sdk.Retirement{Connection: c.id, Reason: "max_age"})
	if err != nil || told.PID != atoi(t, pid) {
		t.Fatalf("%+v, %v; want %s", told, err, pid)
	}
	h.eventually("its end", func() bool { return !slices.Contains(h.processes(), told.PID) })
	if err := syscall.Kill(sleeper, 0); err != nil {
		t.Errorf("the grandchild: %v", err)
	}
	for _, other := range others {
		if other != told.PID && !slices.Contains(h.processes(), other) {
			t.Errorf("%d is gone too", other)
		}
	}
	for name, id := range map[string]sdk.Connection{"none": 0, "the same again": c.id, "a socket nobody has": 1 << 31, "no inode number": 1 << 40} {
		if told, err := h.retire(sdk.Retirement{Connection: id}); !errors.Is(err, sdk.ErrNoProcess) {
			t.Errorf("%s: %+v, %v", name, told, err)
		}
	}
	// Connected to the worker, but no child has accepted it: all are held.
	for range 4 + spare {
		h.ask(h.wire(h.endpoint()).Conn, "pid.php")
	}
	if told, err := h.retire(sdk.Retirement{Connection: h.wire(h.endpoint()).id}); !errors.Is(err, sdk.ErrNoProcess) {
		t.Errorf("not accepted: %+v, %v", told, err)
	}
	// Somebody else's connection.
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mine := h.wire(sdk.Endpoint{Network: "unix", Address: l.Addr().String()})
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if told, err := h.retire(sdk.Retirement{Connection: mine.id}); !errors.Is(err, sdk.ErrNoProcess) {
		t.Errorf("a stranger's: %+v, %v", told, err)
	}
}

func TestInspectTellsWhoServesWhat(t *testing.T) {
	t.Parallel()
	h := start(t, newWorker(t, ``, "pid.php", pidScript,
		"work.php", `<?php $s = str_repeat("x", 32 << 20); $end = hrtime(true) + 2e8; while (hrtime(true) < $end); echo getmypid();`))
	one, two := h.wire(h.endpoint()), h.wire(h.endpoint())
	pids := map[sdk.Connection]int{one.id: atoi(t, h.ask(one.Conn, "work.php")), two.id: atoi(t, h.ask(two.Conn, "pid.php"))}
	found := h.inspect(sdk.Inspection{Connections: []sdk.Connection{two.id, 1 << 31, one.id}})
	if len(found) != 2 {
		t.Fatalf("%+v", found)
	}
	for _, p := range found {
		if p.PID != pids[p.Connection] {
			t.Errorf("%+v, want pid %d", p, pids[p.Connection])
		}
		if age := time.Since(p.Started); age < 0 || age > time.Minute {
			t.Errorf("started %s", p.Started)
		}
		if p.Connection == one.id && (p.CPU < 150*time.Millisecond || p.CPU > 20*time.Second || p.PeakMemory < 32<<20 || p.Memory <= 0 || p.Memory > p.PeakMemory) {
			t.Errorf("a child that has worked: %+v", p)
		}
	}
	all := h.inspect(sdk.Inspection{})
	serving := 0
	for _, p := range all {
		if p.Connection != 0 {
			serving++
			if p.PID != pids[p.Connection] {
				t.Errorf("%+v, want pid %d", p, pids[p.Connection])
			}
		}
	}
	if len(all) != 4+spare || serving != 2 {
		t.Errorf("%d processes, %d of them serve", len(all), serving)
	}
}

// What serves an endpoint that was replaced is still the plugin's.
func TestRetireOfAnOrphan(t *testing.T) {
	t.Parallel()
	h := start(t, newWorker(t, ``, "pid.php", pidScript))
	old := h.endpoint()
	c, d := h.wire(old), h.wire(old)
	pid := atoi(t, h.ask(c.Conn, "pid.php"))
	other := atoi(t, h.ask(d.Conn, "pid.php"))
	if err := syscall.Kill(old.ProcessGroups[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.eventually("a new endpoint", func() bool { return h.endpoint().ID != old.ID })
	told, err := h.retire(sdk.Retirement{Connection: c.id, Reason: "request_timeout", Busy: true})
	if err != nil || told.PID != pid || told.PeakMemory == 0 {
		t.Errorf("%+v, %v; want pid %d", told, err, pid)
	}
	h.eventually("its end", func() bool { return !slices.Contains(h.processes(), pid) })
	if got := h.inspect(sdk.Inspection{Connections: []sdk.Connection{d.id}}); len(got) != 1 || got[0].PID != other {
		t.Errorf("%+v, want pid %d", got, other)
	}
	h.plugin.Release([]string{old.ID})
	_ = d.Close()
	h.eventually("the old children to go", func() bool { return len(h.processes()) == 1+4+spare })
}

func TestRetireEndsARunningRequest(t *testing.T) {
	t.Parallel()
	h := start(t, newWorker(t, ``, "pid.php", pidScript, "sleep.php", `<?php sleep(60);`))
	c := h.wire(h.endpoint())
	pid := atoi(t, h.ask(c.Conn, "pid.php"))
	over := h.run(c.Conn, "sleep.php")
	told, err := h.retire(sdk.Retirement{Connection: c.id, Reason: "request_timeout", Busy: true})
	if err != nil || told.PID != pid || told.Memory == 0 {
		t.Errorf("%+v, %v", told, err)
	}
	if err := <-over; err == nil {
		t.Error("the request came to an end")
	}
}

func TestPeerBeforeAndAfter(t *testing.T) {
	d, err := openDiag(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	var inodes [2]uint64
	for i, fd := range fds {
		inode, ok := socketAt(procPath(os.Getpid(), "fd/"+strconv.Itoa(fd)))
		if !ok {
			t.Fatal("no inode")
		}
		inodes[i] = inode
	}
	if peer, name, err := d.peer(inodes[0]); err != nil || peer != inodes[1] || name != "" {
		t.Errorf("%d %q %v, want %d", peer, name, err, inodes[1])
	}
	if err := unix.Close(fds[1]); err != nil {
		t.Fatal(err)
	}
	if peer, _, err := d.peer(inodes[0]); !errors.Is(err, sdk.ErrNoProcess) {
		t.Errorf("closed: %d, %v", peer, err)
	}
	if peer, _, err := d.peer(inodes[1]); !errors.Is(err, sdk.ErrNoProcess) {
		t.Errorf("gone: %d, %v", peer, err)
	}
}
