package process

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func niceOf(t *testing.T, tid int) int {
	t.Helper()
	n, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
	if err != nil {
		t.Fatal(err)
	}
	return 20 - n // what the system call returns is 20-nice
}

func TestLimitsReachEveryThreadAndWhatIsStarted(t *testing.T) {
	nice := 7
	p := started(t, Spec{}, "wait")
	var threads []os.DirEntry
	eventually(t, "several threads, which a Go program has", func() bool {
		threads, _ = os.ReadDir("/proc/" + strconv.Itoa(p.PID()) + "/task")
		return len(threads) > 1
	})
	want := Limits{Files: new(uint64(77)), Core: new(uint64(0)), AddressSpace: new(uint64(1 << 40)), Nice: &nice}
	if !want.Any() || (Limits{}).Any() {
		t.Error("Any")
	}
	if err := want.Apply(p.PID()); err != nil {
		t.Fatal(err)
	}
	for number, value := range map[int]uint64{unix.RLIMIT_NOFILE: 77, unix.RLIMIT_CORE: 0, unix.RLIMIT_AS: 1 << 40} {
		var got unix.Rlimit
		if err := unix.Prlimit(p.PID(), number, nil, &got); err != nil || got.Cur != value || got.Max != value {
			t.Errorf("limit %d: %+v, %v", number, got, err)
		}
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		if got := niceOf(t, id); got != nice {
			t.Errorf("thread %d: nice %d", id, got)
		}
	}
	// What leaves something alone leaves it alone.
	if err := (Limits{Nice: &nice}).Apply(p.PID()); err != nil {
		t.Error(err)
	}
	var files unix.Rlimit
	if err := unix.Prlimit(p.PID(), unix.RLIMIT_NOFILE, nil, &files); err != nil || files.Cur != 77 {
		t.Errorf("%+v, %v", files, err)
	}
	if err := want.Apply(1 << 30); err == nil || !strings.Contains(err.Error(), "limit files of process 1073741824 to 77") {
		t.Errorf("no process: %v", err)
	}
}

// A user's process may go up to what was permitted, and not above.
func TestPermittedLimits(t *testing.T) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, caps, _ := strings.Cut(string(status), "CapEff:\t")
	caps, _, _ = strings.Cut(caps, "\n")
	if bits, err := strconv.ParseUint(caps, 16, 64); err != nil || bits>>unix.CAP_SYS_RESOURCE&1 == 0 || bits>>unix.CAP_SYS_NICE&1 == 0 {
		t.Skip("needs CAP_SYS_RESOURCE and CAP_SYS_NICE")
	}
	p := started(t, Spec{}, "wait")
	if err := (Limits{Files: new(uint64(64))}).Apply(p.PID()); err != nil {
		t.Fatal(err)
	}
	nice := -5
	if err := (Limits{Files: new(uint64(128)), Nice: &nice}).Permit(p.PID()); err != nil {
		t.Fatal(err)
	}
	var got unix.Rlimit
	if err := unix.Prlimit(p.PID(), unix.RLIMIT_NOFILE, nil, &got); err != nil || got != (unix.Rlimit{Cur: 64, Max: 128}) {
		t.Errorf("files %+v, %v", got, err)
	}
	if err := unix.Prlimit(p.PID(), unix.RLIMIT_NICE, nil, &got); err != nil || got.Cur != 25 {
		t.Errorf("nice %+v, %v", got, err)
	}
	if now := niceOf(t, p.PID()); now != niceOf(t, os.Getpid()) {
		t.Errorf("nice was set to %d", now)
	}
	if err := (Limits{Files: new(uint64(100))}).Permit(p.PID()); err != nil {
		t.Error(err)
	}
	if err := unix.Prlimit(p.PID(), unix.RLIMIT_NOFILE, nil, &got); err != nil || got.Max != 128 {
		t.Errorf("a lower one was permitted by lowering: %+v", got)
	}
}

func TestStartInACgroup(t *testing.T) {
	// Wherever this is mounted, and may be written.
	mounts, err := exec.Command("findmnt", "-n", "-o", "TARGET", "-t", "cgroup2").Output()
	if err != nil {
		t.Skip("no cgroup v2 is mounted")
	}
	dir := strings.Fields(string(mounts))[0] + "/tq-test-" + strconv.Itoa(os.Getpid())
	err = os.Mkdir(dir, 0o700)
	if err != nil {
		t.Skipf("no cgroup v2 that may be written: %v", err)
	}
	defer os.Remove(dir)
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := started(t, Spec{Cgroup: f}, "wait")
	if b, err := os.ReadFile(dir + "/cgroup.procs"); err != nil || strings.TrimSpace(string(b)) != strconv.Itoa(p.PID()) {
		t.Errorf("processes %q, %v", b, err)
	}
	if err := os.WriteFile(dir+"/cgroup.kill", []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if err := os.Remove(dir); err != nil {
		t.Error(err)
	}
}
