package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A thousand workers at rest start, are listed, and are found by host, by path and by
// their scripts; nothing of them runs but what was asked for.
func TestThousandWorkers(t *testing.T) {
	t.Parallel()
	needPHP(t)
	const workers = 1000
	files := map[string]string{
		// However busy the machine is; that it takes less than 2 s is measured elsewhere.
		"config/tqserver.yaml": strings.Replace(baseConfig, "server:", "server:\n  start_timeout: 3m", 1) + "admin: {listen: ['127.0.0.1:0']}\n",
	}
	name := func(i int) string { return fmt.Sprintf("w%04d", i) }
	for i := range workers {
		route := fmt.Sprintf("path: /\nhosts: [%s.example.org]\n", name(i))
		if i%2 == 1 {
			route = "path: /" + name(i) + "\n"
		}
		folder := "workers/" + name(i)
		files[folder+"/config/worker.yaml"] = route + "type: php\ndocument_root: public\nphp: {pool: {manager: ondemand, max_workers: 2}}\n"
		files[folder+"/public/index.php"] = "<?php echo '" + name(i) + "';"
	}
	dir := folder(t, options{workers: []string{}, files: files})
	s := launch(t, options{dir: dir})
	t.Cleanup(func() { s.finish(t) })
	ready := s.log.wait(t, 4*time.Minute, 0, `"msg":"ready"`)
	s.http = s.log.wait(t, time.Second, 0, "serving HTTP").text("address")
	s.tcp = s.log.wait(t, time.Second, 0, "serving FastCGI").text("address")
	admin := s.log.wait(t, time.Second, 0, "answering for operators").text("address")
	s.files = len(openFiles(s.pid))
	t.Log(ready.raw)

	stdout, stderr, code := s.command(t, "status")
	if lines := strings.Count(stdout, " at rest "); code != 0 || lines != workers {
		t.Errorf("exit code %d, %d workers at rest: %s", code, lines, stderr)
	}
	var index struct {
		Workers []struct{ Worker, State string }
	}
	c := newClient(t)
	if err := json.Unmarshal([]byte(must(t, c, 200, "GET", "http://"+admin+"/status?json", nil).body), &index); err != nil || len(index.Workers) != workers {
		t.Errorf("%v, %d workers", err, len(index.Workers))
	}
	must(t, c, 200, "GET", "http://"+admin+"/", nil)

	for _, i := range []int{0, 1, 500, workers - 1} {
		path := "/"
		if i%2 == 1 {
			path += name(i) + "/"
		}
		a, err := raw(t, s.http, "GET "+path+" HTTP/1.1\r\nHost: "+name(i)+".example.org\r\nConnection: close\r\n\r\n")
		if err != nil || a.body != name(i) {
			t.Errorf("%s answers %v %q", name(i), err, a.body)
		}
	}
	for _, i := range []int{0, 777} {
		script := s.path("workers", name(i), "public/index.php")
		a, err := fcgi(t, "tcp", s.tcp, "REQUEST_METHOD", "GET", "SCRIPT_FILENAME", script, "SCRIPT_NAME", "/index.php", "REQUEST_URI", "/index.php")
		if err != nil || a.body() != name(i) {
			t.Errorf("%s answers %v %q", name(i), err, a.body())
		}
	}
	// Those that were asked may be at rest again.
	if stdout, _, _ := s.command(t, "status"); strings.Count(stdout, " at rest ") < workers-5 {
		t.Errorf("%d workers are at rest, want %d", strings.Count(stdout, " at rest "), workers-5)
	}
	if memory, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.pid)); err == nil {
		t.Logf("%s", memory[strings.Index(string(memory), "Pss:"):][:24])
	}
}
