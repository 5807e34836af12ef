package usage

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	// proc(5): utime 700, stime 33, cutime 5, cstime 2, starttime 8472.
	const rest = " S 41 99 99 0 -1 4194560 1 2 3 4 700 33 5 2 20 0 1 0 8472 1000 200 18446744073709551615\n"
	for name, c := range map[string]struct {
		line string
		want Stat
	}{
		"usual":             {"42 (php-cgi8.2)" + rest, Stat{PID: 42, Parent: 41, Name: "php-cgi8.2", Started: 8472, CPU: 7400 * time.Millisecond}},
		"name made to fool": {"42 (a) S 1 (b c)" + rest, Stat{PID: 42, Parent: 41, Name: "a) S 1 (b c", Started: 8472, CPU: 7400 * time.Millisecond}},
		"ended, not waited": {"42 (x) Z" + rest[2:], Stat{PID: 42, Parent: 41, Name: "x", Started: 8472, CPU: 7400 * time.Millisecond, Zombie: true}},
		"empty name":        {"42 ()" + rest, Stat{PID: 42, Parent: 41, Started: 8472, CPU: 7400 * time.Millisecond}},
		"shortest line":     {"42 (x) S 41 0 0 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 1\n", Stat{PID: 42, Parent: 41, Name: "x", Started: 1, CPU: 20 * time.Millisecond}},
	} {
		got, err := parseStat([]byte(c.line))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	for _, bad := range []string{"", "42", "42 (x", "(x) S 1", "42 (x) S 1 2 3", "42 (x)" + strings.Replace(rest, "700", "many", 1)} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

func TestParsePSS(t *testing.T) {
	t.Parallel()
	text := "55d9 ---p [rollup]\nRss:      1732 kB\nPss:       384 kB\nPss_Dirty: 112 kB\n"
	if got, err := parsePSS([]byte(text)); err != nil || got != 384<<10 {
		t.Errorf("%d, %v", got, err)
	}
	for _, bad := range []string{"", "Rss: 1 kB\n", "Pss: 5 MB\n", "Pss: x kB\n"} {
		if got, err := parsePSS([]byte(bad)); err == nil {
			t.Errorf("%q is read as %d", bad, got)
		}
	}
}

// The time of children that end between two samples is in the difference, and
// so is that of their children; what has another parent is not.
func TestFamilyOfFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(pid, name, parent, cpu string) {
		t.Helper()
		folder := filepath.Join(dir, pid)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		line := pid + " (" + name + ") S " + parent + " 0 0 0 -1 0 0 0 0 0 " + cpu + " 20 0 1 0 1\n"
		for file, text := range map[string]string{"stat": line, "smaps_rollup": "Pss: 10 kB\n"} {
			if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	put("10", "tqserver", "1", "5 5 0 0")
	put("12", "php-cgi8.2", "10", "1 0 0 0")
	put("13", "php-cgi8.2", "12", "10 10 0 0")
	put("14", "nginx", "1", "100 100 0 0")
	f := &Family{proc: dir, roots: []int{10}}
	before, err := f.All()
	if err != nil {
		t.Fatal(err)
	}
	want := Sample{CPU: 310 * time.Millisecond, PHP: 210 * time.Millisecond, Memory: 30 << 10, PHPMemory: 20 << 10, Processes: 3}
	if diff := cmp.Diff(want, before); diff != "" {
		t.Error(diff)
	}
	// 13 works for another 40 ms and ends; 12 waits for it.
	if err := os.RemoveAll(filepath.Join(dir, "13")); err != nil {
		t.Fatal(err)
	}
	put("12", "php-cgi8.2", "10", "1 0 12 12")
	after, err := f.CPU()
	if err != nil {
		t.Fatal(err)
	}
	if got := after.CPU - before.CPU; got != 40*time.Millisecond || after.PHP-before.PHP != got || after.Processes != 2 {
		t.Errorf("%v, %+v", got, after)
	}
}

// A real process with a child of its own.
func TestFamilyOfProcesses(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", "sh -c 'while [ $((i=i+1)) -lt 300000 ]; do :; done; echo done; read x'; :")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	f := NewFamily(cmd.Process.Pid)
	got, err := f.All()
	if err != nil {
		t.Fatal(err)
	}
	if got.Processes != 2 || got.CPU < tick || got.Memory < 100<<10 || got.PHP != 0 {
		t.Errorf("%+v", got)
	}
	members, err := f.Members()
	if err != nil || !slices.ContainsFunc(members, func(s Stat) bool { return s.Parent == cmd.Process.Pid }) {
		t.Errorf("%v, %v", members, err)
	}
	_ = in.Close()
	_ = cmd.Wait()
	if members, err := f.Members(); err != nil || len(members) != 0 {
		t.Errorf("after its end: %v, %v", members, err)
	}
}
