package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// proc is a process as /proc shows it.
type proc struct {
	pid, ppid, group int
	state            string
	started          string // with pid, names the process for good
	comm             string
	cmdline          string // blanks between the arguments
}

func (p proc) String() string {
	return fmt.Sprintf("pid %d (parent %d, group %d, state %s): %s", p.pid, p.ppid, p.group, p.state, p.cmdline)
}

// readProc reads one process; a zombie counts as gone.
func readProc(pid int) (proc, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return proc{}, false
	}
	opening, closing := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[closing+1:]))
	if opening < 0 || closing < 0 || len(fields) < 20 {
		return proc{}, false
	}
	p := proc{pid: pid, comm: string(stat[opening+1 : closing]), state: fields[0], started: fields[19]}
	p.ppid, _ = strconv.Atoi(fields[1])
	p.group, _ = strconv.Atoi(fields[2])
	cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	p.cmdline = strings.TrimSpace(strings.ReplaceAll(string(cmdline), "\x00", " "))
	return p, p.state != "Z" && p.state != "X"
}

// alive says whether the very process still runs.
func (p proc) alive() bool {
	now, ok := readProc(p.pid)
	return ok && now.started == p.started
}

// allProcs is every process there is, by pid.
func allProcs() map[int]proc {
	names, _ := filepath.Glob("/proc/[0-9]*")
	all := make(map[int]proc, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if p, ok := readProc(pid); ok {
			all[pid] = p
		}
	}
	return all
}

// family is every process that belongs to a server: what descends from it,
// and what names its folder in its command line, environment, working folder or
// open files. The server itself and nginx are left out.
func (s *server) family() []proc {
	all := allProcs()
	var family []proc
	for pid, p := range all {
		if pid == s.pid || pid == os.Getpid() || p.comm == "nginx" {
			continue
		}
		if descends(all, pid, s.pid) || mentions(p, s.dir) {
			family = append(family, p)
		}
	}
	slices.SortFunc(family, func(a, b proc) int { return a.pid - b.pid })
	return family
}

func descends(all map[int]proc, pid, ancestor int) bool {
	for range 16 {
		p, ok := all[pid]
		if !ok || p.ppid == 0 {
			return false
		}
		if p.ppid == ancestor {
			return true
		}
		pid = p.ppid
	}
	return false
}

func mentions(p proc, dir string) bool {
	if strings.Contains(p.cmdline, dir) {
		return true
	}
	at := filepath.Join("/proc", strconv.Itoa(p.pid))
	if environ, err := os.ReadFile(filepath.Join(at, "environ")); err == nil && bytes.Contains(environ, []byte(dir)) {
		return true
	}
	links, _ := filepath.Glob(filepath.Join(at, "fd", "*"))
	for _, link := range append(links, filepath.Join(at, "cwd")) {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, dir) {
			return true
		}
	}
	return false
}

// php is one php-cgi parent with its children, and the plugin over it.
type php struct {
	parent   proc
	children []proc
}

// same says whether the very processes are there.
func (p php) same(q php) bool {
	same := func(a, b proc) bool { return a.pid == b.pid && a.started == b.started }
	return same(p.parent, q.parent) && slices.EqualFunc(p.children, q.children, same)
}

// phps lists the php-cgi trees of the server, the newest last; only those whose
// children belong to a parent that is alive.
func (s *server) phps() []php {
	family := s.family()
	isPHP := func(p proc) bool { return strings.HasPrefix(p.comm, "php-cgi") }
	var found []php
	for _, p := range family {
		if !isPHP(p) || slices.ContainsFunc(family, func(q proc) bool { return isPHP(q) && q.pid == p.ppid }) {
			continue
		}
		tree := php{parent: p}
		for _, q := range family {
			if isPHP(q) && q.ppid == p.pid {
				tree.children = append(tree.children, q)
			}
		}
		found = append(found, tree)
	}
	return found
}

// onePHP is the php-cgi tree of a server with a single PHP worker.
func (s *server) onePHP(t *testing.T) php {
	t.Helper()
	var trees []php
	if !becomes(5*time.Second, func() bool {
		trees = slices.DeleteFunc(s.phps(), func(p php) bool { return len(p.children) == 0 })
		return len(trees) == 1
	}) {
		t.Fatalf("want one php-cgi parent with children, have %v", s.family())
	}
	return trees[0]
}

// plugin is the process that runs a worker of the given kind: the child of the
// server whose command line ends so.
func (s *server) plugin(t *testing.T, suffix string) proc {
	t.Helper()
	for _, p := range s.family() {
		if p.ppid == s.pid && strings.HasSuffix(p.cmdline, suffix) {
			return p
		}
	}
	t.Fatalf("no plugin process ends with %q among %v", suffix, s.family())
	return proc{}
}

// kill ends one process of the server's by SIGKILL and waits until its parent
// has reaped it: before that a thread of it may still hold its sockets.
func kill(t *testing.T, p proc) {
	t.Helper()
	if !p.alive() {
		t.Fatalf("already gone: %v", p)
	}
	if err := unix.Kill(p.pid, unix.SIGKILL); err != nil {
		t.Fatalf("killing %v: %v", p, err)
	}
	poll(t, 5*time.Second, "the killed process has been reaped", func() bool { return !exists(fmt.Sprintf("/proc/%d", p.pid)) })
}

// living are those of the processes that still run.
func living(procs []proc) []proc {
	return slices.DeleteFunc(slices.Clone(procs), func(p proc) bool { return !p.alive() })
}

// peakMemory is the process's VmHWM in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmHWM in /proc/PID/status")
	return 0
}

// resetPeakMemory sets VmHWM to what the process uses now, where allowed.
func resetPeakMemory(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// openFiles are the names of all files a process has open.
func openFiles(pid int) []string {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	open := make([]string, 0, len(links))
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil {
			open = append(open, to)
		}
	}
	return open
}
