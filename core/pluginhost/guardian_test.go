package pluginhost

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/plugins/faulty"
	"github.com/mevdschee/tqserver/sdk/process"
)

// hostMain is a host in a process of its own, to be killed: it prints the pids
// of its processes, the guardian's first, and waits.
func hostMain(folder string) {
	fail := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	executable, err := os.Executable()
	fail(err)
	h, err := New(Options{RuntimeFolder: folder, Executable: executable, Log: slog.New(slog.DiscardHandler)})
	fail(err)
	for _, s := range []faulty.Settings{{}, {Child: true}, {Stop: "hang", Leak: true}} {
		settings, err := json.Marshal(s)
		fail(err)
		_, err = h.Start(context.Background(), api.PluginSpec{
			Type: "faulty", Command: []string{executable, "faulty"}, Worker: "w", Folder: "/", MaxWorkers: 1, Settings: settings,
		}, api.PluginEvents{})
		fail(err)
	}
	h.mu.Lock()
	fmt.Fprint(os.Stdout, h.guard.proc.PID())
	for g := range h.groups {
		for _, pid := range g.Members() {
			fmt.Fprint(os.Stdout, " ", pid)
		}
	}
	h.mu.Unlock()
	fmt.Fprintln(os.Stdout)
	select {}
}

// startHost starts hostMain and returns it with the pids it printed.
func startHost(t *testing.T, folder string) (*exec.Cmd, []int) {
	t.Helper()
	host := exec.Command(executableOf(t), "host", folder)
	host.Stderr = os.Stderr
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = host.Process.Kill()
		_ = host.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for text := range strings.FieldsSeq(line) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if len(pids) != 6 { // guardian, three plugins, a child, a leaked grandchild
		t.Fatalf("pids: %v", pids)
	}
	return host, pids
}

// gone waits until none of the pids is alive, twenty seconds at most.
func gone(t *testing.T, pids []int) {
	t.Helper()
	began := time.Now()
	eventually(t, "end of all processes", func() bool {
		return !slices.ContainsFunc(pids, alive)
	})
	took := time.Since(began)
	t.Logf("all gone after %v", took)
	if took > 20*time.Second {
		t.Errorf("processes were left for %v", took)
	}
}

func TestKilledHostLeavesNothing(t *testing.T) {
	t.Parallel()
	folder := shortDir(t)
	host, pids := startHost(t, folder)
	kill(t, host.Process.Pid, syscall.SIGKILL)
	gone(t, pids)
	eventually(t, "the runtime folder gone", func() bool {
		left, _ := filepath.Glob(folder + "/tq-*")
		return len(left) == 0
	})
}

// The lifeline alone ends plugins, and the next server sweeps up.
func TestKilledHostAndGuardian(t *testing.T) {
	t.Parallel()
	folder := shortDir(t)
	host, pids := startHost(t, folder)
	kill(t, host.Process.Pid, syscall.SIGSTOP) // it must not start another guardian
	eventually(t, "the stop of the host", func() bool { return stopped(host.Process.Pid) })
	kill(t, pids[0], syscall.SIGKILL)
	kill(t, host.Process.Pid, syscall.SIGKILL)
	eventually(t, "end of the plugins", func() bool { return !alive(pids[1]) })
	// The lock is free when the last thread of the host is gone, a little later.
	eventually(t, "the sweep by a new server", func() bool {
		h, err := New(Options{RuntimeFolder: folder, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		left, _ := filepath.Glob(folder + "/tq-*")
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		return len(left) == 1
	})
	// A plugin that hangs or left its group's child cannot be told; this is what
	// two deaths at once cost. End them.
	for _, pid := range pids[1:] {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func TestKilledGuardianIsReplaced(t *testing.T) {
	t.Parallel()
	folder := shortDir(t)
	host, pids := startHost(t, folder)
	kill(t, pids[0], syscall.SIGKILL)
	guardian := 0
	eventually(t, "another guardian", func() bool {
		for _, pid := range childrenOf(host.Process.Pid) {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			// Bit 14 of SigIgn: it ignores SIGTERM by now.
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			_, mask, _ := strings.Cut(string(status), "SigIgn:\t")
			ignored, _ := strconv.ParseUint(mask[:min(16, len(mask))], 16, 64)
			if pid != pids[0] && strings.HasSuffix(string(b), "\x00"+GuardianArg+"\x00") && ignored&(1<<14) != 0 {
				guardian = pid
			}
		}
		return guardian != 0
	})
	kill(t, guardian, syscall.SIGTERM) // not for it
	kill(t, host.Process.Pid, syscall.SIGKILL)
	gone(t, append(pids, guardian))
}

func childrenOf(pid int) []int {
	var children []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		for text := range strings.FieldsSeq(string(b)) {
			if child, err := strconv.Atoi(text); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// A number that belongs to somebody else by now is spared.
func TestGuardianSparesStrangers(t *testing.T) {
	t.Parallel()
	sleeper := func() *process.Process {
		p, err := process.Start(process.Spec{Path: "/bin/sleep", Args: []string{"60"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = process.KillGroup(p.PID()); <-p.Done() })
		return p
	}
	ours, reused, removed := sleeper(), sleeper(), sleeper()
	folder := filepath.Join(shortDir(t), "tq-folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	guardian := exec.Command(executableOf(t), GuardianArg)
	guardian.Stdin = strings.NewReader(fmt.Sprintf("folder %s\nadd %d %d\nadd %d %d\nadd %d %d\nremove %d %d\nnonsense\n", folder,
		ours.PID(), ours.Group().Start, reused.PID(), reused.Group().Start+1,
		removed.PID(), removed.Group().Start, removed.PID(), removed.Group().Start))
	if err := guardian.Run(); err != nil {
		t.Fatal(err)
	}
	<-ours.Done()
	if reused.Ended() || removed.Ended() {
		t.Error("a stranger was killed")
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is there: %v", err)
	}
}

func TestReadRegister(t *testing.T) {
	t.Parallel()
	type groups = map[process.Group]struct{}
	for name, c := range map[string]struct {
		text   string
		groups groups
		folder string
	}{
		"nothing":      {"", groups{}, ""},
		"folder":       {"folder /run/with space/tq-x\n", groups{}, "/run/with space/tq-x"},
		"add, remove":  {"add 5 6\nadd 7 8\nremove 5 6\n", groups{{ID: 7, Start: 8}: {}}, ""},
		"other start":  {"add 5 6\nremove 5 7\n", groups{{ID: 5, Start: 6}: {}}, ""},
		"cut off":      {"add 5 6\nadd 7", groups{{ID: 5, Start: 6}: {}}, ""},
		"nonsense":     {"\n\nadd x y\nadd\nfrob 1 2\nadd 5 6\n", groups{{ID: 5, Start: 6}: {}}, ""},
		"leader gone":  {"add 5 0\n", groups{{ID: 5}: {}}, ""},
		"added twice":  {"add 5 6\nadd 5 6\n", groups{{ID: 5, Start: 6}: {}}, ""},
		"endless line": {strings.Repeat("x", 1<<20), groups{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, folder := readRegister(strings.NewReader(c.text))
			if diff := cmp.Diff(c.groups, got, cmpopts.IgnoreUnexported(process.Group{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if folder != c.folder {
				t.Errorf("folder %q, want %q", folder, c.folder)
			}
		})
	}
}

// stopped says whether the process is stopped by a signal (proc(5), state T).
func stopped(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, state, ok := strings.Cut(string(stat), ") ")
	return err == nil && ok && strings.HasPrefix(state, "T")
}
