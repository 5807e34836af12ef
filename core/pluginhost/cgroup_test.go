package pluginhost

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/plugins/faulty"
	"github.com/mevdschee/tqserver/sdk/process"
)

func TestCgroupPath(t *testing.T) {
	t.Parallel()
	const hybrid = "32 25 0:28 / /sys/fs/cgroup/memory rw - cgroup none rw,memory\n43 25 0:39 / /sys/fs/cgroup/unified rw,relatime - cgroup2 none rw\n"
	const unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 none rw,nsdelegate\n"
	for name, c := range map[string]struct{ self, mounts, want, err string }{
		"systemd":              {"0::/system.slice/tqserver.service\n", unified, "/sys/fs/cgroup/system.slice/tqserver.service", ""},
		"beside version 1":     {"4:memory:/x\n0::/\n", hybrid, "/sys/fs/cgroup/unified", ""},
		"a container":          {"0::/\n", unified, "/sys/fs/cgroup", ""},
		"a part is mounted":    {"0::/docker/abc/x\n", "1 2 0:1 /docker/abc /cg\\040roup rw - cgroup2 none rw\n", "/cg roup/x", ""},
		"another part":         {"0::/other\n", "1 2 0:1 /docker/abc /sys/fs/cgroup rw - cgroup2 none rw\n", "", "no cgroup v2 file system"},
		"outside of the mount": {"0::/../x\n", unified, "", "no cgroup v2 file system"},
		"version 1 alone":      {"4:memory:/x\n", hybrid, "", "the kernel has no cgroup v2"},
		"not mounted":          {"0::/\n", "1 2 0:1 / / rw - ext4 /dev/x rw\n", "", "no cgroup v2 file system"},
		"malformed":            {"0::/\n", "\n-\n1 2 - cgroup2\nx - cgroup2 x\n", "", "no cgroup v2 file system"},
	} {
		got, err := cgroupPath(c.self, c.mounts)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// fakeCgroups has plain files where the kernel has its own.
func fakeCgroups(t *testing.T, log *slog.Logger, controllers string, files ...string) (*cgroups, string) {
	t.Helper()
	root := t.TempDir()
	own := filepath.Join(root, "own")
	proc := filepath.Join(root, "proc")
	for path, text := range map[string]string{
		own + "/cgroup.procs": "", own + "/cgroup.subtree_control": "", own + "/cgroup.controllers": controllers + "\n",
		proc + "/cgroup": "0::/own\n", proc + "/mountinfo": "1 2 0:1 / " + root + " rw - cgroup2 none rw\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files { // of the worker's group, which the kernel makes
		path := filepath.Join(own, "tq-test.demo", f)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newCgroups(log)
	c.name = "tq-test"
	c.proc, c.systemd = proc, filepath.Join(root, "nothing")
	return c, own
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCgroupLimitsAreWritten(t *testing.T) {
	t.Parallel()
	log := &logSink{}
	c, own := fakeCgroups(t, slog.New(slog.NewJSONHandler(log, nil)), "cpuset cpu io memory pids", "memory.max", "cpu.max", "pids.max")
	spec := api.PluginSpec{Worker: "demo", Cgroup: api.CgroupLimits{Memory: 512 << 20, CPU: 1500, Processes: 64}}
	group := c.enter(spec)
	worker := filepath.Join(own, "tq-test.demo")
	if filepath.Dir(group) != worker {
		t.Fatalf("group %q", group)
	}
	for file, want := range map[string]string{"memory.max": "536870912", "cpu.max": "150000 100000", "pids.max": "64"} {
		if got := text(t, filepath.Join(worker, file)); got != want {
			t.Errorf("%s: %q", file, got)
		}
	}
	if got := text(t, own+"/cgroup.subtree_control"); !strings.HasPrefix(got, "+pids") { // the last of them, at the beginning of a plain file
		t.Errorf("subtree_control %q", got)
	}
	for _, file := range []string{"memory.max", "cpu.max", "pids.max"} {
		if err := os.WriteFile(filepath.Join(worker, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A reload took two limits away: the next plugin process is in the same group.
	spec.Cgroup = api.CgroupLimits{Processes: 7}
	if again := c.enter(spec); filepath.Dir(again) != worker || again == group {
		t.Errorf("group %q after %q", again, group)
	}
	for file, want := range map[string]string{"memory.max": "max", "cpu.max": "max", "pids.max": "7"} {
		if got := text(t, filepath.Join(worker, file)); got != want {
			t.Errorf("%s: %q", file, got)
		}
	}
	if log.all() != "" {
		t.Errorf("logged %s", log.all())
	}
}

func TestCgroupThatLacksSomethingIsTold(t *testing.T) {
	t.Parallel()
	want := api.PluginSpec{Worker: "demo", Cgroup: api.CgroupLimits{Memory: 1 << 20, CPU: 1000, Processes: 5}}
	for name, c := range map[string]struct {
		controllers string
		spoil       func(c *cgroups, own string) error
		told        []string
	}{
		"a controller":   {"memory cpu", func(*cgroups, string) error { return nil }, []string{`"missing":"pids"`}},
		"cgroup v2":      {"", func(c *cgroups, _ string) error { return os.WriteFile(c.proc+"/cgroup", []byte("4:memory:/\n"), 0o600) }, []string{"no cgroup v2"}},
		"a mount":        {"", func(c *cgroups, _ string) error { return os.WriteFile(c.proc+"/mountinfo", nil, 0o600) }, []string{"no cgroup v2 file system"}},
		"the right":      {"", func(_ *cgroups, own string) error { return os.Remove(own + "/cgroup.procs") }, []string{"may not be written"}},
		"the delegation": {"", func(c *cgroups, _ string) error { return os.Mkdir(c.systemd, 0o700) }, []string{"Delegate=yes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &logSink{}
			groups, own := fakeCgroups(t, slog.New(slog.NewJSONHandler(log, nil)), c.controllers, "memory.max", "cpu.max", "pids.max")
			if err := c.spoil(groups, own); err != nil {
				t.Fatal(err)
			}
			groups.enter(want)
			lines := strings.Count(log.all(), "\n")
			for _, told := range c.told {
				if !strings.Contains(log.all(), told) || !strings.Contains(log.all(), "isolation.cgroup has no effect") {
					t.Errorf("not %q in %s", told, log.all())
				}
			}
			if lines != 1 {
				t.Errorf("%d lines: %s", lines, log.all())
			}
			if c.controllers == "" { // the reason is the server's, and told once
				groups.enter(want)
				if n := strings.Count(log.all(), "\n"); n != 1 {
					t.Errorf("told %d times", n)
				}
			}
			// Who wants nothing is told nothing.
			if group := groups.enter(api.PluginSpec{Worker: "quiet"}); c.controllers == "" && group != "" {
				t.Errorf("group %s", group)
			}
		})
	}
}

// The server is in the way of controllers for others, and moves.
func TestServerMovesIntoALeaf(t *testing.T) {
	t.Parallel()
	log := &logSink{}
	c, own := fakeCgroups(t, slog.New(slog.NewJSONHandler(log, nil)), "memory", "memory.max")
	for path, content := range map[string]string{own + "/cgroup.type": "domain\n", own + "/tq-server/cgroup.procs": ""} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(own+"/cgroup.procs", []byte("4711\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.enter(api.PluginSpec{Worker: "demo", Cgroup: api.CgroupLimits{Memory: 1 << 20}})
	if got := text(t, own+"/tq-server/cgroup.procs"); !strings.HasPrefix(got, "4711") {
		t.Errorf("the leaf has %q", got)
	}
	if got := text(t, own+"/tq-test.demo/memory.max"); got != "1048576" {
		t.Errorf("memory.max %q", got)
	}
}

// realCgroups skips where there is no cgroup v2 that may be written.
func realCgroups(t *testing.T) {
	t.Helper()
	c := newCgroups(slog.New(slog.DiscardHandler))
	if _, _, err := c.find(); err != nil {
		t.Skip(err)
	}
}

func groupOf(t *testing.T, pid int) string {
	t.Helper()
	for line := range strings.Lines(text(t, fmt.Sprintf("/proc/%d/cgroup", pid))) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	return ""
}

func TestPluginLivesAndDiesInItsCgroup(t *testing.T) {
	t.Parallel()
	realCgroups(t)
	h := newTestHost(t)
	s := spec(t, faulty.Settings{Child: true})
	s.Cgroup.Processes = 1000
	p, pool := start(t, h, s)
	child := serverPID(t, pool.wait(t, 0))
	cell := groupOf(t, p.State().PID)
	if !strings.Contains(cell, "/"+h.cgroups.name+".demo/") || groupOf(t, child) != cell {
		t.Fatalf("the plugin is in %q, its child in %q", cell, groupOf(t, child))
	}
	if own := groupOf(t, os.Getpid()); strings.Contains(own, h.cgroups.name) {
		t.Errorf("the server is in %q", own)
	}
	folder := filepath.Join(h.cgroups.own, h.cgroups.name+".demo", filepath.Base(cell))
	// One that has left the process group, and even the plugin: a daemon.
	daemon := exec.Command("sleep", "60")
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- daemon.Wait() }()
	if err := writeCgroup(folder, "cgroup.procs", strconv.Itoa(daemon.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	stop(t, p)
	select {
	case <-gone:
	case <-time.After(patience):
		_ = daemon.Process.Kill()
		t.Error("what has left the process group goes on")
	}
	for _, left := range []string{folder, filepath.Dir(folder)} {
		if _, err := os.Stat(left); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", left, err)
		}
	}
}

func TestReapKillsCgroups(t *testing.T) {
	t.Parallel()
	realCgroups(t)
	h := newTestHost(t)
	s := spec(t, faulty.Settings{})
	s.Cgroup.Processes = 1000
	p, _ := start(t, h, s)
	pid := p.State().PID
	h.Reap()
	eventually(t, "its end", func() bool { return unix.Kill(pid, 0) != nil })
	if left, _ := filepath.Glob(filepath.Join(h.cgroups.own, h.cgroups.name+".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestKillCgroupKillsNothingElse(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/sys/fs/cgroup", "/", "", t.TempDir()} {
		if err := killCgroup(context.Background(), path); err == nil {
			t.Errorf("%q was killed", path)
		}
	}
	gone := filepath.Join(t.TempDir(), "tq-x.demo", "y")
	if err := killCgroup(context.Background(), gone); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
}

func TestSweptCgroupsAreThoseOfTheDead(t *testing.T) {
	t.Parallel()
	own := t.TempDir()
	mine := newCgroups(slog.New(slog.DiscardHandler)).name
	for name, stays := range map[string]bool{mine + ".a": true, "tq-1073741824-5-x.a": false, fmt.Sprintf("tq-%d-1-x.a", os.Getpid()): false, "tq-server": true, "tq-other.a": true, "x.y": true} {
		dir := filepath.Join(own, name)
		if err := os.MkdirAll(filepath.Join(dir, "instance"), 0o700); err != nil {
			t.Fatal(err)
		}
		sweepCgroups(own)
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGuardianKnowsCgroups(t *testing.T) {
	t.Parallel()
	_, cells, folder := readRegister(strings.NewReader("folder /x\nenter /cg/tq-a.b/c\nenter /cg/tq-a.b/d e\nleave /cg/tq-a.b/c\n"))
	if _, there := cells["/cg/tq-a.b/d e"]; len(cells) != 1 || !there || folder != "/x" {
		t.Errorf("%v, %q", cells, folder)
	}
}

func TestLimitsOfAWorkerThatIsItsOwnPlugin(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	s := spec(t, faulty.Settings{})
	files, nice := uint64(200), 4
	s.Limits = process.Limits{Files: &files, Nice: &nice}
	p, _ := start(t, h, s)
	var got unix.Rlimit
	if err := unix.Prlimit(p.State().PID, unix.RLIMIT_NOFILE, nil, &got); err != nil || got.Cur != 200 || got.Max != 200 {
		t.Errorf("%+v, %v", got, err)
	}
	if n, err := unix.Getpriority(unix.PRIO_PROCESS, p.State().PID); err != nil || 20-n != nice {
		t.Errorf("nice %d, %v", 20-n, err)
	}
	stop(t, p)
	files = ^uint64(0) - 1
	_, err := h.Start(t.Context(), s, api.PluginEvents{})
	if err == nil || !strings.Contains(err.Error(), "isolation: limit files") {
		t.Errorf("a limit that cannot be set: %v", err)
	}
}
