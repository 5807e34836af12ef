package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// delegated makes a control group like those that systemd gives away, and returns the
// command that starts another in it. It needs what no package can bring: root, and a
// kernel whose controllers are not cgroup v1's.
func delegated(t *testing.T) (group string, wrap []string) {
	t.Helper()
	const root = "/sys/fs/cgroup"
	has, err := os.ReadFile(root + "/cgroup.controllers")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs root, and cgroup v2 alone")
	}
	if swaps, err := os.ReadFile("/proc/swaps"); err != nil || strings.Count(string(swaps), "\n") > 1 {
		t.Skip("memory that is too much would be swapped")
	}
	for _, controller := range []string{"memory", "cpu", "pids"} {
		if !strings.Contains(string(has), controller) {
			t.Skipf("cgroup v2 has no %s here", controller)
		}
		if err := os.WriteFile(root+"/cgroup.subtree_control", []byte("+"+controller), 0); err != nil {
			t.Skip(err)
		}
	}
	group = filepath.Join(root, "tqtest-"+unique(t))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(os.Remove(group+"/tq-server"), os.Remove(group)); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Setxattr(group, "trusted.delegate", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	return group, []string{"sh", "-c", "echo $$ >" + group + `/cgroup.procs && exec "$@"`, "sh"}
}

// The kernel keeps a worker within its limits, and the others do not notice.
func TestCgroupLimitsHold(t *testing.T) {
	t.Parallel()
	needPHP(t)
	group, wrap := delegated(t)
	s := start(t, options{wrap: wrap, files: map[string]string{
		"workers/app/config/worker.yaml": `
path: /
type: php
document_root: public
isolation: {cgroup: {memory: 96MiB, cpu: "50%", processes: 30}}
php:
  admin_settings: {memory_limit: "-1"}
  pool: {max_workers: 2}
`,
		"workers/app/public/memory.php": "<?php echo strlen(str_repeat('x', 200 << 20));",
		"workers/app/public/fork.php": `<?php
for ($n = 0; $n < 60 && ($p[] = @proc_open(['sleep', '60'], [], $pipes)); $n++);
foreach (array_filter($p) as $one) { proc_terminate($one, 9); proc_close($one); }
echo $n;`,
		"workers/other/config/worker.yaml": "path: /other\ntype: php\ndocument_root: public\nphp: {pool: {max_workers: 1}}\n",
		"workers/other/public/index.php":   "<?php echo 'well';",
	}})
	c := newClient(t)
	url := "http://" + s.http
	must(t, c, 200, "GET", url+"/answer.php", nil)
	workers, _ := filepath.Glob(group + "/tq-*.app")
	if len(workers) != 1 {
		t.Fatalf("the worker's groups: %v", workers)
	}
	for file, want := range map[string]string{"memory.max": "100663296", "cpu.max": "50000 100000", "pids.max": "30"} {
		if got, err := os.ReadFile(filepath.Join(workers[0], file)); strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %q, %v", file, got, err)
		}
	}

	s.allow("memory.php")
	mark := s.log.len()
	if a, err := do(c, "GET", url+"/memory.php", nil); err != nil || a.StatusCode != http.StatusBadGateway {
		t.Errorf("200 MiB of 96: %v %v %.100q", err, a.Response, a.body)
	}
	s.log.wait(t, 10*time.Second, mark, "killed")

	most, forked := 0, must(t, c, 200, "GET", url+"/fork.php", nil).body
	if _, err := fmt.Sscan(forked, &most); err != nil || most < 5 || most > 29 {
		t.Errorf("%q processes started of at most 30", forked)
	}

	must(t, c, 200, "GET", url+"/spin.php?ms=1000", nil)
	stat, err := os.ReadFile(filepath.Join(workers[0], "cpu.stat"))
	if err != nil || strings.Contains(string(stat), "nr_throttled 0\n") {
		t.Errorf("never throttled: %s %v", stat, err)
	}
	if a := must(t, c, 200, "GET", url+"/other/", nil); a.body != "well" {
		t.Errorf("the other worker says %q", a.body)
	}
	if own, err := filepath.Glob(group + "/tq-*.other/*/cgroup.procs"); len(own) != 1 {
		t.Errorf("a worker without limits has no group of its own: %v %v", own, err)
	}
}
