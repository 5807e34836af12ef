package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Every rule of a strict configuration, all of them in one run: what is wrong
// with included files, the environment and --set, with several workers and their
// plugins, and with what they name.
func TestCheckTellsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	needPHP(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	dir := folder(t, options{files: map[string]string{
		"config/tqserver.yaml": `include: [conf.d/*.yaml, missing.yaml]
http:
  listen: ["` + taken.Addr().String() + `", "127.0.0.1:0"]
fastcgi:
  listen: ["unix:app.sock"]
router:
backend:
  workers: workers
`,
		"config/conf.d/a.yaml": `server:
  drain_timeout: 10
  drain_timeout: 10s
log:
  level:
statik: {}
`,
		"config/conf.d/b.yaml": "static:\n  cache_contrl: x\n",
		"workers/app/config/worker.yaml": `path: /
type: php
document_root: nowhere
user: nobody-of-this-name
fastcgi: {listen: ["unix:app.sock"]}
php: {binary: /no/php-cgi}
`,
		"workers/one/config/worker.yaml":   "path: /x\ntype: php\ndocument_root: .\nphp:\n  pool: {request_timeout: 5}\n  env: {A: 'env:TQ_NOT_SET'}\n  admin_settings: {memory_limitt: '1'}\n",
		"workers/two/config/worker.yaml":   "path: /y\ntype: php\ndocument_root: .\n",
		"workers/three/config/worker.yaml": "path: /y\ntype: php\ndocument_root: .\nphp: {config_file: no.ini}\n",
		"workers/four/config/worker.yaml":  "path: /z\ntype: go\ngo: {binary: bin/none}\n",
	}})
	_, stderr, code := run(t, dir, "check", "--set", "http.idle_timeout=5")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []struct {
		file  string
		words []string
	}{
		{"config/tqserver.yaml", []string{"include[1]", "config/missing.yaml: no such file"}},
		{"config/conf.d/a.yaml", []string{"server.drain_timeout", "10 has no unit; write 10s"}},
		{"config/conf.d/a.yaml", []string{"server.drain_timeout", "repeats the key of line 2"}},
		{"config/conf.d/a.yaml", []string{"log.level", "is empty"}},
		{"config/conf.d/a.yaml", []string{`unknown section "statik"`, "did you mean static?"}},
		{"config/conf.d/b.yaml", []string{`static.cache_contrl`, "did you mean cache_control?"}},
	} {
		wantProblem(t, stderr, want.file, want.words...)
	}
	if !strings.Contains(stderr, "--set http.idle_timeout: 5 has no unit; write 5s") {
		t.Errorf("nothing of --set in\n%s", stderr)
	}

	// A file that cannot be read leaves open what else was meant; without it the
	// workers are told of too, though sections are wrong still.
	write(t, filepath.Join(dir, "config/missing.yaml"), "")
	_, stderr, code = run(t, dir, "check", "--set", "backend.body_memory=5")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []struct {
		file  string
		words []string
	}{
		{"config/conf.d/b.yaml", []string{`static.cache_contrl`}},
		{"config/tqserver.yaml", []string{"http.listen[0]", "is in use by process " + strconv.Itoa(os.Getpid())}},
		{"workers/app/config/worker.yaml", []string{"document_root", "there is no folder", "nowhere"}},
		{"workers/app/config/worker.yaml", []string{"user", `no user "nobody-of-this-name"`}},
		{"workers/one/config/worker.yaml", []string{"php.pool.request_timeout", "5 has no unit; write 5s"}},
		{"workers/one/config/worker.yaml", []string{"php.env.A", `"TQ_NOT_SET", which is not set`}},
		{"workers/one/config/worker.yaml", []string{"php.admin_settings.memory_limitt", "knows no such setting"}},
		{"workers/three/config/worker.yaml", []string{"php.config_file", "no.ini"}},
		{"workers/four/config/worker.yaml", []string{"go.binary", "there is no", "build it"}},
	} {
		wantProblem(t, stderr, want.file, want.words...)
	}
	if !strings.Contains(stderr, "--set backend.body_memory: 5 has no unit") {
		t.Errorf("nothing of --set in\n%s", stderr)
	}

	// Rules between workers, once each is in order alone.
	for name, text := range map[string]string{
		"config/conf.d/a.yaml": "", "config/conf.d/b.yaml": "static:\n",
		"workers/app/config/worker.yaml":   "path: /\ntype: php\ndocument_root: .\nphp: {binary: /no/php-cgi}\nfastcgi:\n  listen: ['unix:app.sock']\n",
		"workers/one/config/worker.yaml":   "path: /x\ntype: php\ndocument_root: .\n",
		"workers/three/config/worker.yaml": "type: php\npath: /y\ndocument_root: .\n",
		"workers/four/config/worker.yaml":  "path: /z\ntype: php\ndocument_root: .\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	_, stderr, code = run(t, dir, "check")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	wantProblem(t, stderr, "workers/app/config/worker.yaml", "php.binary", "/no/php-cgi", "install it")
	wantProblem(t, stderr, "workers/two/config/worker.yaml", "path: workers three and two both have the route /y", "workers/three/config/worker.yaml:2:1: path")
	wantProblem(t, stderr, "workers/app/config/worker.yaml", "fastcgi.listen[0]: the address unix:app.sock is taken by config/tqserver.yaml:5:12: fastcgi.listen[0]")

	if t.Failed() {
		t.Log(stderr)
	}

	// A folder that is not there, and another for the workers.
	_, stderr, _ = run(t, dir, "check", "--set", "backend.workers=wrokers")
	if !strings.Contains(stderr, "--set backend.workers: there is no folder wrokers; make it") {
		t.Errorf("got\n%s", stderr)
	}
}

// Whoever runs a server checks its configuration while it runs: its own
// addresses are not in the way, those of others are.
func TestCheckBesideTheRunningServer(t *testing.T) {
	t.Parallel()
	needPHP(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	s := start(t, options{sets: []string{`http.listen=["` + address + `"]`}})
	sets := []string{"--set", `http.listen=["` + address + `"]`}
	stdout, stderr, code := run(t, s.dir, append([]string{"check"}, sets...)...)
	if code != 0 || !strings.Contains(stdout, "valid") || stderr != "" {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	// Another server, which would have the same address and socket.
	_, stderr, code = run(t, s.dir, append([]string{"check", "--set", "server.runtime_folder=" + s.dir + "/other"}, sets...)...)
	in := "is in use by process " + strconv.Itoa(s.pid) + " (tqserver)"
	if code != 1 || !strings.Contains(stderr, "--set http.listen: http.listen[0]: the address "+address+" "+in) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	wantProblem(t, stderr, "config/tqserver.yaml", "fastcgi.listen[1]: the address unix:f.sock "+in)
	// It serves on as if nothing had been.
	res, err := http.Get("http://" + s.http + "/ini.php")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
}
