package pluginhost

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/process"
)

// Control groups (cgroup v2, cgroups(7)). Each worker has one, with its limits,
// and in that each of its plugin processes has one, with all that it starts:
//
//	the server's own ── tq-server              the server and its guardian, where only leaves may hold processes
//	                 └─ tq-PID-START-X.WORKER  memory.max, cpu.max, pids.max
//	                    └─ RANDOM              a plugin process, php-cgi, children, what scripts start
const (
	cgroupPrefix = "tq-"
	cgroupServer = cgroupPrefix + "server"
)

// cgroups are those of one host.
type cgroups struct {
	log  *slog.Logger
	name string // "tq-PID-START-X", the first two those of the server's process
	// proc and systemd are /proc/self and /run/systemd/system but in tests.
	proc, systemd string

	mu     sync.Mutex
	opened bool
	own    string          // the server's, "" when it cannot be used
	usable map[string]bool // controllers
	reason error           // why there are none
	told   bool
}

func newCgroups(log *slog.Logger) *cgroups {
	var start uint64
	if s, err := process.ReadStat(os.Getpid()); err == nil {
		start = s.Start
	}
	name := fmt.Sprintf("%s%d-%d-%s", cgroupPrefix, os.Getpid(), start, random())
	return &cgroups{log: log, name: name, proc: "/proc/self", systemd: "/run/systemd/system"}
}

// cgroupPath finds the folder of the server's own group from the text of
// /proc/self/cgroup and /proc/self/mountinfo (cgroups(7), proc_pid_mountinfo(5)).
func cgroupPath(self, mounts string) (string, error) {
	group, found := "", false
	for line := range strings.Lines(self) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			group, found = path, true
		}
	}
	if !found {
		return "", errors.New("the kernel has no cgroup v2")
	}
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash < 0 || len(f) < dash+2 || dash < 5 || f[dash+1] != "cgroup2" {
			continue
		}
		root, point := unescape(f[3]), unescape(f[4])
		below, ok := strings.CutPrefix(group, strings.TrimSuffix(root, "/"))
		if !ok || strings.HasPrefix(below, "/..") {
			continue // a mount of another part of the tree
		}
		return filepath.Join(point, below), nil
	}
	return "", errors.New("no cgroup v2 file system is mounted that shows the server's own group")
}

// unescape reads what mountinfo writes for blanks.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// find names the folder and says whether others manage it. Callers hold mu.
func (c *cgroups) find() (path string, delegated bool, err error) {
	self, err := os.ReadFile(filepath.Join(c.proc, "cgroup"))
	if err != nil {
		return "", false, err
	}
	mounts, err := os.ReadFile(filepath.Join(c.proc, "mountinfo"))
	if err != nil {
		return "", false, err
	}
	if path, err = cgroupPath(string(self), string(mounts)); err != nil {
		return "", false, err
	}
	// systemd says so of the groups it has given away (systemd.resource-control(5)).
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		value := make([]byte, 8)
		if n, err := unix.Getxattr(path, name, value); err == nil && string(value[:n]) == "1" {
			delegated = true
		}
	}
	if _, err := os.Stat(c.systemd); err == nil && !delegated {
		return "", false, fmt.Errorf("the group %s is systemd's own: write Delegate=yes into the unit's [Service] section", path)
	}
	for _, name := range []string{".", "cgroup.procs", "cgroup.subtree_control"} {
		if err := unix.Access(filepath.Join(path, name), unix.W_OK); err != nil {
			return "", false, fmt.Errorf("the group %s may not be written (%w): start the server as root, or give it its group", path, err)
		}
	}
	return path, delegated, nil
}

// open makes the server's group one that can have others below, once. Callers
// hold mu.
func (c *cgroups) open() {
	if c.opened {
		return
	}
	c.opened = true
	path, _, err := c.find()
	if err != nil {
		c.reason = err
		return
	}
	sweepCgroups(path)
	// Only the root of all groups may hold processes beside groups with
	// controllers; it alone has no type.
	if _, err := os.Stat(filepath.Join(path, "cgroup.type")); err == nil {
		if c.reason = moveServer(path); c.reason != nil {
			return
		}
	}
	has, err := os.ReadFile(filepath.Join(path, "cgroup.controllers"))
	if err != nil {
		c.reason = err
		return
	}
	c.own, c.usable = path, map[string]bool{}
	for name := range strings.FieldsSeq(string(has)) {
		if name != "memory" && name != "cpu" && name != "pids" {
			continue
		}
		if err := writeCgroup(path, "cgroup.subtree_control", "+"+name); err != nil {
			c.log.Debug("a cgroup controller cannot be enabled", "controller", name, "error", err)
			continue
		}
		c.usable[name] = true
	}
}

// moveServer moves all processes of the group into a leaf below it, since a
// group with processes of its own cannot have controllers for others.
func moveServer(path string) error {
	leaf := filepath.Join(path, cgroupServer)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for range 3 { // those that are started meanwhile come with their parents
		procs, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return err
		}
		pids := strings.Fields(string(procs))
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := writeCgroup(leaf, "cgroup.procs", pid); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("moving process %s out of the way: %w", pid, err)
			}
		}
	}
	return nil
}

func writeCgroup(folder, file, text string) error {
	f, err := os.OpenFile(filepath.Join(folder, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// enter makes the group for a plugin process of the worker; "" is none.
func (c *cgroups) enter(spec api.PluginSpec) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !spec.Cgroup.Any() && !c.opened {
		// Without limits they are used where they are the server's to use.
		if _, delegated, err := c.find(); err != nil || !delegated {
			return ""
		}
	}
	c.open()
	if c.own == "" {
		if spec.Cgroup.Any() && !c.told {
			c.told = true
			c.log.Warn("isolation.cgroup has no effect: there is no cgroup v2 that the server may use; the worker runs without these limits",
				"worker", spec.Worker, "reason", c.reason)
		}
		return ""
	}
	worker := filepath.Join(c.own, c.name+"."+spec.Worker)
	if err := os.Mkdir(worker, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		c.log.Warn("no control group for the worker; it runs without one", "worker", spec.Worker, "error", err)
		return ""
	}
	c.limit(worker, spec)
	group := filepath.Join(worker, random())
	if err := os.Mkdir(group, 0o755); err != nil {
		c.log.Warn("no control group for the worker; it runs without one", "worker", spec.Worker, "error", err)
		return ""
	}
	return group
}

// limit writes the limits of a worker, "max" for none: they may have changed.
func (c *cgroups) limit(worker string, spec api.PluginSpec) {
	const period = 100_000 // the kernel's, in microseconds
	l := spec.Cgroup
	for _, limit := range []struct {
		controller, file string
		value            int64
		text             string
	}{
		{"memory", "memory.max", l.Memory, strconv.FormatInt(l.Memory, 10)},
		{"cpu", "cpu.max", int64(l.CPU), fmt.Sprintf("%d %d", int64(l.CPU)*period/1000, period)},
		{"pids", "pids.max", int64(l.Processes), strconv.Itoa(l.Processes)},
	} {
		switch {
		case !c.usable[limit.controller] && limit.value == 0:
		case !c.usable[limit.controller]:
			c.log.Warn("isolation.cgroup has no effect for "+limit.controller+": the server's control group does not have this controller",
				"worker", spec.Worker, "group", c.own, "missing", limit.controller)
		default:
			if limit.value == 0 {
				limit.text = "max"
			}
			if err := writeCgroup(worker, limit.file, limit.text); err != nil {
				c.log.Warn("a limit of the worker's control group cannot be set", "worker", spec.Worker, "limit", limit.file, "value", limit.text, "error", err)
			}
		}
	}
}
