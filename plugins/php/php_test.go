package php

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestChildrenShareOneOpcache(t *testing.T) {
	h := start(t, newWorker(t, `{"settings": {"opcache.enable": "1", "opcache.file_update_protection": "0"}}`,
		"op.php", `<?php echo getmypid(), " ", opcache_get_status()["scripts"][__FILE__]["hits"] ?? -1;`))
	e := h.endpoint()
	if e.MaxConcurrent != 4 || len(e.ProcessGroups) != 1 {
		t.Errorf("endpoint %+v", e)
	}
	if st, err := os.Stat(e.Address); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", st.Mode(), err)
	}
	pids, hits := map[string]bool{}, "" // each kept connection holds a child
	for range 4 {
		var pid string
		pid, hits, _ = strings.Cut(h.ask(h.dial(e), "op.php"), " ")
		pids[pid] = true
	}
	if len(pids) != 4 || atoi(t, hits) < 3 {
		t.Errorf("children %v, %s hits in the last one's cache", pids, hits)
	}
}

func TestOneChildIsForkedToo(t *testing.T) {
	w := newWorker(t, ``, "pid.php", `<?php echo getmypid();`)
	w.MaxWorkers = 1
	h := start(t, w)
	pid := atoi(t, h.get("pid.php"))
	if pid == h.endpoint().ProcessGroups[0] {
		t.Error("the parent serves")
	}
	if n := len(h.processes()); n != 3 {
		t.Errorf("%d processes", n)
	}
}

func TestEnvironmentIsWhatWasConfigured(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "x")
	h := start(t, newWorker(t, `{"env": {"APP_ENV": "production", "EMPTY": "", "ODD": "a=b 'c\" $d"}}`,
		"env.php", `<?php echo json_encode(array_diff_key(getenv(), array_flip(["REQUEST_METHOD","SCRIPT_FILENAME","SCRIPT_NAME","DOCUMENT_ROOT"])));`))
	var got map[string]string
	if err := json.Unmarshal([]byte(h.get("env.php")), &got); err != nil {
		t.Fatal(err)
	}
	// The last two are php-cgi's own, and it does not hide them.
	want := map[string]string{
		"APP_ENV": "production", "EMPTY": "", "ODD": `a=b 'c" $d`,
		"PHP_FCGI_CHILDREN": "5", "PHP_FCGI_MAX_REQUESTS": "0",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestNoDescriptorLeaks(t *testing.T) {
	h := start(t, newWorker(t, ``, "fd.php", `<?php foreach (scandir("/proc/self/fd") as $fd) { $to = @readlink("/proc/self/fd/$fd"); if ($to) echo "$fd $to\n"; }`))
	for line := range strings.Lines(h.get("fd.php")) {
		fd, to, _ := strings.Cut(strings.TrimSpace(line), " ")
		// 0 is the listening socket, 1 and 2 the log; the connection and what
		// PHP opened itself (the script, the folder) come behind them.
		if inherited, err := os.Readlink("/proc/self/fd/" + fd); err == nil && inherited == to {
			continue // whoever started the test leaks it
		}
		if atoi(t, fd) > 2 && !strings.HasPrefix(to, "socket:") && !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "anon_inode:") {
			t.Errorf("descriptor %s is %s", fd, to)
		}
	}
}

// values that quoting must carry: see also TestSettingsReachPHP.
var oddValues = []string{
	``, ` `, `a b`, `"`, `'`, `a"b'c`, `$x`, `${HOME}`, `a;b`, `;`, `#`, `a=b`, `=`, `\`, `a\`, `\"`, `\'`, `'"'"'`, `off`, `null`, `(1|2)&~3!`, `[x]`, `ä`, "\t", `%s`,
}

func TestSettingsReachPHP(t *testing.T) {
	// Settings that take any text: a few starts of PHP test all values.
	free := []string{"user_agent", "highlight.comment", "highlight.default", "highlight.html", "highlight.keyword", "highlight.string", "arg_separator.output", "session.referer_check"}
	for _, section := range []string{"settings", "admin_settings"} {
		for values := range slices.Chunk(oddValues, len(free)) {
			want := map[string]string{}
			for i, v := range values {
				want[free[i]] = v
			}
			settings, err := json.Marshal(map[string]any{section: want})
			if err != nil {
				t.Fatal(err)
			}
			w := newWorker(t, string(settings), "get.php", `<?php echo json_encode(array_map("ini_get", json_decode($_SERVER["NAMES"], true)));`)
			w.MaxWorkers = 1
			names, err := json.Marshal(free[:len(values)])
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			if err := json.Unmarshal([]byte(start(t, w).get("get.php", "NAMES", string(names))), &got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(values, got); d != "" {
				t.Errorf("%s: %s", section, d)
			}
		}
	}
}

// PHP works out levels of errors as its version has them.
func TestLevelsOfErrorsReachPHP(t *testing.T) {
	const script = `<?php echo json_encode([error_reporting() === (E_ALL & ~E_NOTICE), ini_get("error_reporting") === (string) (E_ALL & ~E_NOTICE)]);`
	for _, section := range []string{"settings", "admin_settings"} {
		for _, value := range []string{"E_ALL & ~E_NOTICE", "~E_NOTICE & E_ALL", "(E_ALL) & ~(E_NOTICE)"} {
			w := newWorker(t, fmt.Sprintf(`{%q: {"error_reporting": %q}}`, section, value), "levels.php", script)
			w.MaxWorkers = 1
			if got := start(t, w).get("levels.php"); got != "[true,true]" {
				t.Errorf("%s: %s: %s", section, value, got)
			}
		}
	}
}

func TestAdminSettingsHold(t *testing.T) {
	const script = `<?php
		$changed = ini_set("memory_limit", "77M");
		$free = ini_set("user_agent", "changed");
		echo json_encode([ini_get("memory_limit"), $changed, $free, ini_get("user_agent"), ini_get("post_max_size"), ini_get("open_basedir"), @file_get_contents("/etc/passwd")]);`
	for _, linked := range []bool{false, true} {
		t.Run(fmt.Sprintf("linked=%v", linked), func(t *testing.T) {
			w := newWorker(t, `{"settings": {"user_agent": "given"}, "admin_settings": {"memory_limit": "33M", "post_max_size": "2M", "open_basedir": "public"}}`,
				"admin.php", script, ".user.ini", "memory_limit=44M\npost_max_size=9M\nopen_basedir=/\n")
			real := w.DocumentRoot
			if linked { // and its folder has a name that php.ini must be told carefully
				odd := filepath.Join(w.Folder, `o'd d;"[x]${HOME}`)
				if err := os.Symlink(w.DocumentRoot, odd); err != nil {
					t.Fatal(err)
				}
				w.DocumentRoot = odd
			}
			h := start(t, w)
			want := []any{"33M", false, "given", "changed", "2M", filepath.Join(w.Folder, "public"), false}
			for _, root := range []string{w.DocumentRoot, real} {
				var got []any
				body := h.get("admin.php", "SCRIPT_FILENAME", filepath.Join(root, "admin.php"))
				if err := json.Unmarshal([]byte(body), &got); err != nil {
					t.Fatalf("%v: %s", err, body)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("by %s: %s", root, d)
				}
			}
		})
	}
}

func TestConfigFileIsTheBase(t *testing.T) {
	w := newWorker(t, `{"config_file": "my.ini", "settings": {"precision": "7"}, "admin_settings": {"memory_limit": "33M"}}`,
		"ini.php", `<?php echo ini_get("user_agent"), " ", ini_get("precision"), " ", ini_get("memory_limit"), " ", ini_get("cgi.fix_pathinfo");`)
	ini := "user_agent=base\nprecision=5\nmemory_limit=99M\ncgi.fix_pathinfo=0\n[CLI Server]\n; no newline"
	if err := os.WriteFile(filepath.Join(w.Folder, "my.ini"), []byte(ini), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := start(t, w).get("ini.php"); got != "base 7 33M 1" {
		t.Errorf("got %q", got)
	}
}

// What applications read to make links, as under PHP-FPM.
func TestPathVariables(t *testing.T) {
	h := start(t, newWorker(t, ``,
		"doku.php", `<?php echo implode(" ", array_map(fn($k) => $_SERVER[$k] ?? "-", ["PHP_SELF", "SCRIPT_NAME", "PATH_INFO", "PATH_TRANSLATED", "REDIRECT_URL"])), " ", basename($_SERVER["SCRIPT_FILENAME"]);`,
		"evil.jpg", `<?php echo "an image was run";`))
	root := h.worker.DocumentRoot
	for _, c := range []struct {
		name   string
		params []string
		want   string
	}{
		{"plain", nil, "/doku.php /doku.php - - - doku.php"},
		{"path info", []string{"PATH_INFO", "/wiki/a b", "PATH_TRANSLATED", root + "/wiki/a b"}, "/doku.php/wiki/a b /doku.php /wiki/a b " + root + "/wiki/a b - doku.php"},
		{"prefix", []string{"SCRIPT_NAME", "/blog/doku.php", "PATH_INFO", "/x"}, "/blog/doku.php/x /blog/doku.php /x - - doku.php"},
		// Under its own name REDIRECT_URL makes php-cgi run PATH_TRANSLATED and
		// drop PATH_INFO; PHP folds the dot, so that the core can hide it so.
		{"rewritten", []string{"REDIRECT.URL", "/a", "PATH_INFO", "/x", "PATH_TRANSLATED", root + "/evil.jpg"}, "/doku.php/x /doku.php /x " + root + "/evil.jpg /a doku.php"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := h.get("doku.php", c.params...); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestOutputBecomesWholeLogLines(t *testing.T) {
	long := strings.Repeat("0123456789", 20<<10)
	h := start(t, newWorker(t, ``, "log.php", `<?php
		$e = fopen("php://stderr", "w");
		fwrite($e, json_encode(["level" => "info", "text" => "a\nb \"c\""]) . "\n");
		fwrite($e, str_repeat("0123456789", 20 << 10) . "end\n");
		fwrite($e, "PHP Fatal error:  it fell\n");
		echo "ok";`))
	if got := h.get("log.php"); got != "ok" {
		t.Fatalf("got %q", got)
	}
	h.eventually("the last line", func() bool { return h.log.find("it fell") != nil })
	if r := h.log.find(`{"level":"info","text":"a\nb \"c\""}`); r == nil {
		t.Error("the JSON line is not whole")
	}
	if r := h.log.find(long + "end"); r == nil {
		t.Error("the long line is not whole")
	}
	if r := h.log.find("it fell"); r["level"] != "ERROR" || r["worker"] != "test" {
		t.Errorf("record %v", r)
	}
}

func TestKilledParentIsReplacedAtOnce(t *testing.T) {
	h := start(t, newWorker(t, ``, "pid.php", `<?php echo getmypid();`))
	old := h.endpoint()
	if err := syscall.Kill(old.ProcessGroups[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.eventually("a new endpoint", func() bool { return h.endpoint().ID != old.ID })
	now := h.last(sdk.Ready)
	if want := []int{old.ProcessGroups[0], h.endpoint().ProcessGroups[0]}; !slices.Equal(slices.Sorted(slices.Values(want)), now.ProcessGroups) {
		t.Errorf("groups %v, want %v", now.ProcessGroups, want)
	}
	h.get("pid.php")
	c := h.dial(old)
	h.ask(c, "pid.php") // the old children serve until Release
	_ = c.Close()
	h.plugin.Release([]string{"unknown", old.ID})
	h.eventually("the old children to go", func() bool { return len(h.processes()) == 6 })
	if r := h.log.find("did not end in order"); r != nil {
		t.Errorf("the old children were killed: %v", r)
	}
	h.get("pid.php")
}

func TestStopEndsTheOrphansOfAKilledParent(t *testing.T) {
	h := start(t, newWorker(t, ``))
	old := h.endpoint()
	if err := syscall.Kill(old.ProcessGroups[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.eventually("a new endpoint", func() bool { return h.endpoint().ID != old.ID })
	h.stop(5 * time.Second) // looks for what is left
}

// unbuffered makes flush() reach the socket whatever php.ini says.
const unbuffered = `{"settings": {"output_buffering": "0"}}`

func TestKilledChildIsToldAndReplaced(t *testing.T) {
	h := start(t, newWorker(t, unbuffered, "pid.php", `<?php echo getmypid();`, "sleep.php", `<?php echo "x"; flush(); sleep(60);`))
	c := h.dial(h.endpoint())
	pid := atoi(t, h.ask(c, "pid.php"))
	failed := make(chan error, 1)
	go func() {
		_, err := h.try(c, "sleep.php")
		failed <- err
	}()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("the request of a killed child came to an end")
	}
	h.eventually("the log line", func() bool { return h.log.find("php-cgi child") != nil })
	r := h.log.find("php-cgi child")
	t.Logf("logged: %v", r["msg"])
	if r["pid"] != float64(pid) || r["worker"] != "test" || r["level"] != "WARN" {
		t.Errorf("record %v", r)
	}
	h.eventually("another child", func() bool { return len(h.processes()) == 6 })
}

func TestStopLetsRequestsFinish(t *testing.T) {
	h := start(t, newWorker(t, unbuffered, "slow.php", `<?php echo "begun "; flush(); usleep(500000); time_nanosleep(0, 1); echo "done";`))
	c := h.dial(h.endpoint())
	body := make(chan string, 1)
	begun := make(chan struct{})
	go func() {
		params := fastcgi.Params{{Name: "REQUEST_METHOD", Value: "GET"}, {Name: "SCRIPT_FILENAME", Value: filepath.Join(h.worker.DocumentRoot, "slow.php")}}
		if err := c.Start(fastcgi.Responder, false, params, []byte{}); err != nil {
			t.Error(err)
		}
		var all []byte
		buf := make([]byte, 4096)
		for seen := false; ; {
			n, err := c.Read(buf)
			all = append(all, buf[:n]...)
			if !seen && strings.Contains(string(all), "begun") {
				seen = true
				close(begun)
			}
			if err != nil {
				break
			}
		}
		_ = c.Close() // php-cgi waits for that, as for a web server's
		body <- string(all)
	}()
	<-begun
	since := time.Now()
	h.stop(60 * time.Second)
	if took := time.Since(since); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
	if got := <-body; !strings.HasSuffix(got, "begun done") {
		t.Errorf("got %q", got)
	}
}

func TestStopKillsWhatDoesNotFinish(t *testing.T) {
	h := start(t, newWorker(t, unbuffered, "stuck.php", `<?php echo "begun"; flush(); while (true) { sleep(10); }`))
	c := h.dial(h.endpoint())
	if err := c.Start(fastcgi.Responder, false, fastcgi.Params{{Name: "REQUEST_METHOD", Value: "GET"}, {Name: "SCRIPT_FILENAME", Value: filepath.Join(h.worker.DocumentRoot, "stuck.php")}}, []byte{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	h.stop(300 * time.Millisecond)
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestStopBeforeReady(t *testing.T) {
	needPHP(t)
	h := &host{t: t, worker: newWorker(t, ``), log: &logBook{}, err: make(chan error, 1), plugin: New(slogDiscard())}
	h.stopAtOnce()
}

func TestStartThatFailsSaysWhy(t *testing.T) {
	needPHP(t)
	w := newWorker(t, `{"settings": {"opcache.preload": "/nowhere/preload.php", "opcache.enable": "1"}}`)
	var states []sdk.State
	err := New(slogDiscard()).Run(t.Context(), w, func(s sdk.State) { states = append(states, s) })
	if err == nil || len(states) == 0 || states[len(states)-1].Kind != sdk.Failed || !strings.Contains(err.Error(), "preload") {
		t.Errorf("%v after %+v", err, states)
	}
}

// A child that waits for the next request on a connection its client keeps does
// not end by SIGTERM (PHP reads on); Stop ends it all the same, and not by its bound.
func TestStopEndsChildrenOnKeptConnections(t *testing.T) {
	t.Parallel()
	h := start(t, newWorker(t, ``, "pid.php", `<?php echo getmypid();`))
	for range 3 {
		h.ask(h.dial(h.endpoint()), "pid.php") // kept until the end of the test
	}
	h.stop(2 * time.Minute) // looks for what is left
	if strings.Contains(h.log.String(), "did not end in order") {
		t.Errorf("%s", h.log)
	}
}
