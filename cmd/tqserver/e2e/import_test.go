package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tellAll is what a script sees that a pool's directives decide.
const tellAll = `<?php
echo json_encode([
	'sapi' => php_sapi_name(), 'user' => posix_geteuid(), 'group' => posix_getegid(), 'ini file' => php_ini_loaded_file(),
	'env' => array_map(getenv(...), ['FROM_FPM' => 'FROM_FPM', 'PLAIN' => 'PLAIN', 'URL' => 'URL', 'NONE' => 'NONE', 'PATH' => 'PATH']),
	'ini' => array_map(ini_get(...), array_combine($n = ['memory_limit', 'display_errors', 'error_reporting', 'open_basedir', 'post_max_size', 'error_log', 'date.timezone', 'log_errors'], $n)),
	'may set' => [ini_set('memory_limit', '99M') !== false, ini_set('date.timezone', 'UTC') !== false],
	'limits' => array_intersect_key(posix_getrlimit(), array_flip(['soft openfiles', 'hard openfiles', 'soft core'])),
	'nice' => explode(' ', substr($s = file_get_contents('/proc/self/stat'), strrpos($s, ')') + 2))[16],
	'script' => $_SERVER['SCRIPT_FILENAME'], 'uri' => $_SERVER['REQUEST_URI'],
]);`

// richPool has what the www pool of Debian only shows as comments.
const richPool = `; everything at once
[global]
log_level = warning
process_control_timeout = 15s
[rich.example]
prefix = %[1]s
listen = %[2]s
listen.allowed_clients = 127.0.0.1
listen.backlog = 300
pm = ondemand
pm.max_children = 3 ; a comment
pm.process_idle_timeout = 1m
pm.max_requests = 500
pm.status_path = /fpm-status.php
ping.path = /ping.php
ping.response = "all is ""well""; really"
access.log = $pool.access.log
slowlog = $pool.slow
request_slowlog_timeout = 5s
request_terminate_timeout = 60
rlimit_files = 512
rlimit_core = 0
process.priority = 5
chdir = %[1]s/public
catch_workers_output = yes
clear_env = yes
security.limit_extensions = .php
env[FROM_FPM] = $TQ_FPM_VARIABLE
env[PLAIN] = file:it is not
env[URL] = 'https://a:b@c/?d=e;f'
env[PATH] = /usr/bin:/bin
php_value[date.timezone] = Europe/Amsterdam
php_flag[display_errors] = off
php_admin_value[error_log] = %[1]s/$pool.log
php_admin_flag[log_errors] = on
php_admin_value[memory_limit] = 48M
php_admin_value[error_reporting] = E_ALL & ~E_NOTICE
php_admin_value[open_basedir] = %[1]s/public:/tmp:/proc/self
php_value[no.such_extension] = 1
`

// A site served by nginx and PHP-FPM is served by nginx and TQServer, with one
// command between the two and nothing changed at nginx: scripts see the same.
func TestImportFromPHPFPM(t *testing.T) {
	t.Parallel()
	needPHP(t)
	fpm := fpmPath(t)
	nginxPath(t)
	installed, err := filepath.Glob("/etc/php/*/fpm/pool.d/www.conf")
	if err != nil || len(installed) == 0 {
		skip(t, "Debian's www.conf is not installed")
	}
	www, err := os.ReadFile(installed[len(installed)-1])
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tqfpm") //nolint:usetesting // a unix socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := tcp.Addr().String()
	_ = tcp.Close()
	pool := strings.ReplaceAll(string(www), "/run/php/", dir+"/")
	rich := fmt.Sprintf(richPool, dir, address)
	if os.Geteuid() == 0 {
		rich += "user = www-data\n"
	} else { // another user's pool needs root
		owned := regexp.MustCompile(`(?m)^(user|group|listen\.owner|listen\.group) = .*$`)
		pool = owned.ReplaceAllString(pool, "")
	}
	sockets := regexp.MustCompile(`(?m)^listen = (.*)$`).FindStringSubmatch(pool)
	if sockets == nil {
		t.Fatal("Debian's www.conf has no listen")
	}
	for name, text := range map[string]string{
		"fpm/php-fpm.conf":    "[global]\npid = " + dir + "/fpm.pid\nerror_log = " + dir + "/fpm.log\ninclude=" + dir + "/fpm/pool.d/*.conf\n",
		"fpm/pool.d/www.conf": pool, "fpm/pool.d/rich.conf": rich,
		"public/tell.php": tellAll, "config/tqserver.yaml": "include: [../tqserver.yaml]\nlog: {format: json}\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	for _, name := range []string{"rich.example.log", "rich.example.slow", "rich.example.access.log"} {
		write(t, filepath.Join(dir, name), "")
		if err := os.Chmod(filepath.Join(dir, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}

	stop := startFPM(t, fpm, dir)
	before := &server{dir: dir, tcp: address, unix: sockets[1]}
	body := fmt.Sprintf(plainFPM, dir+"/public", "unix")
	ngx := before.startNginx(t, body, fmt.Sprintf(plainFPM, dir+"/public", "tcp"))
	get := func(n int, path string) string {
		t.Helper()
		res, err := (&http.Client{Timeout: 30 * time.Second}).Get("http://" + ngx.addresses[n] + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d, %v: %s", path, res.StatusCode, err, text)
		}
		return string(text)
	}
	var first, pong []string
	for n := range 2 {
		first = append(first, get(n, "/tell.php/x?y=z"))
	}
	pong = append(pong, get(1, "/ping.php"))
	socket := fileOf(t, sockets[1])
	stop()

	command := func(args ...string) (string, string, int) {
		t.Helper()
		cmd := exec.Command(serverBinary, args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TQ_FPM_VARIABLE=of the master"}
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		cmd.WaitDelay = 5 * time.Second
		if err := cmd.Run(); cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return out.String(), errs.String(), cmd.ProcessState.ExitCode()
	}
	arguments := []string{"import", "php-fpm", dir + "/fpm/pool.d", "--out", dir, "--runtime-folder", dir + "/run", "--root", "www=" + dir + "/public"}
	stdout, stderr, code := command(arguments...)
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	for _, want := range []string{
		"workers/www/config/worker.yaml", "workers/rich.example/config/worker.yaml", "import-report.md",
		"php_value[no.such_extension] = 1: ", "pool rich.example: PHP-FPM knows no document root and runs any file; document_root is its chdir",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if stdout, stderr, code := command("check"); code != 0 {
		t.Fatalf("what was written does not pass the check: %s%s", stdout, stderr)
	}
	if _, stderr, code := command(arguments...); code != 1 || !strings.Contains(stderr, "is there already") {
		t.Errorf("it overwrites: exit code %d: %s", code, stderr)
	}

	// log_level = warning was taken over; the test waits for a line of info.
	start(t, options{dir: dir, env: []string{"TQ_FPM_VARIABLE=of the master"}, sets: []string{"log.level=info"}})
	for n, name := range []string{"www", "rich"} {
		var then, now map[string]any
		for text, into := range map[string]*map[string]any{first[n]: &then, get(n, "/tell.php/x?y=z"): &now} {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
		}
		if then["sapi"] != "fpm-fcgi" || now["sapi"] != "cgi-fcgi" {
			t.Errorf("%s: served by %v, then by %v", name, then["sapi"], now["sapi"])
		}
		delete(then, "sapi")
		delete(now, "sapi")
		// The copy that holds the admin settings.
		delete(then, "ini file")
		delete(now, "ini file")
		a, _ := json.Marshal(then)
		b, _ := json.Marshal(now)
		if string(a) != string(b) {
			t.Errorf("%s: a script saw\n%s\nand sees\n%s", name, a, b)
		}
	}
	if pong = append(pong, get(1, "/ping.php")); pong[0] != pong[1] {
		t.Errorf("ping says %q, said %q", pong[1], pong[0])
	}
	if got := get(1, "/fpm-status.php"); !strings.Contains(got, "process manager:      ondemand") {
		t.Errorf("the status page is %s", got)
	}
	// The pool's access log goes on in its file, with what its format has in common with ours.
	if log, err := os.ReadFile(filepath.Join(dir, "rich.example.access.log")); err != nil || !strings.Contains(string(log), `"GET /tell.php/x?y=z HTTP/1.1" 200 `) {
		t.Errorf("the access log: %v %s", err, log)
	}
	if now := fileOf(t, sockets[1]); now != socket {
		t.Errorf("the socket is %s, was %s", now, socket)
	}
}

// fileOf is the mode and the owner of a file.
func fileOf(t *testing.T, name string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%o of %d:%d", st.Mode, st.Uid, st.Gid)
}

func fpmPath(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/sbin/php-fpm*")
	if err != nil || len(found) == 0 {
		skip(t, "php-fpm is not installed")
	}
	return slices.Max(found)
}

// startFPM runs a real PHP-FPM until stop is called, or the test ends.
func startFPM(t *testing.T, path, dir string) (stop func()) {
	t.Helper()
	args := []string{"-F", "-y", dir + "/fpm/php-fpm.conf"}
	if ini, err := filepath.Glob("/etc/php/*/fpm/php.ini"); err == nil && len(ini) > 0 {
		args = append(args, "-c", ini[len(ini)-1])
	}
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TQ_FPM_VARIABLE=of the master"}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	stop = func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	}
	t.Cleanup(stop)
	poll(t, 10*time.Second, "PHP-FPM is ready", func() bool {
		select {
		case <-ended:
			text, _ := os.ReadFile(dir + "/fpm.log")
			t.Fatalf("PHP-FPM did not start: %s%s", out.String(), text)
		default:
		}
		return exists(dir + "/fpm.pid")
	})
	return stop
}
