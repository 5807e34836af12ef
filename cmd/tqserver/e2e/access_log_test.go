package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// expectLine waits until a file of the server's folder holds a text.
func (s *server) expectLine(t *testing.T, file, text string) string {
	t.Helper()
	var held []byte
	found := becomes(10*time.Second, func() bool {
		held, _ = os.ReadFile(filepath.Join(s.dir, file))
		return strings.Contains(string(held), text)
	})
	if !found {
		t.Fatalf("%s: no %s in:\n%s", file, text, held)
	}
	return string(held)
}

func accessConfig(format string) string {
	return strings.ReplaceAll(baseConfig, "router:\n", "router:\n  middleware: [access_log]\n") +
		"access_log:\n  file: access.log\n  format: " + format + "\n"
}

// The access log tells of every request by both fronts, survives logrotate and a
// reload, and follows changes of its format.
func TestAccessLog(t *testing.T) {
	needPHP(t)
	s := start(t, options{files: map[string]string{"config/tqserver.yaml": accessConfig("combined")}})
	get := func(path string) {
		t.Helper()
		resp, err := http.Get("http://" + s.http + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	get("/style.css?a=\"b")
	s.expectLine(t, "access.log", "] \"GET /style.css?a=\\x22b HTTP/1.1\" 200 ")
	if _, err := fcgi(t, "tcp", s.tcp, s.scriptParams("/index.php", "REMOTE_USER", "ann", "HTTP_USER_AGENT", "x\"y")...); err != nil {
		t.Fatal(err)
	}
	text := s.expectLine(t, "access.log", "ann [")
	form := regexp.MustCompile(`^(\S+ - \S+ \[[^]]+\] "GET \S+ HTTP/1\.\d" 200 \d+ "[^"]*" "[^"]*"\n)+$`)
	if !form.MatchString(text) || !strings.Contains(text, `x\x22y`) {
		t.Errorf("not combined:\n%s", text)
	}

	// logrotate, create
	log := filepath.Join(s.dir, "access.log")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	from := s.log.len()
	s.signal(t, syscall.SIGUSR1)
	poll(t, 10*time.Second, "the log files are opened anew", func() bool {
		_, ok := s.log.find(from, "opened the log files anew")
		return ok
	})
	get("/rotated")
	s.expectLine(t, "access.log", "/rotated HTTP/1.1\" 404 ")
	// logrotate, copytruncate
	if err := os.Truncate(log, 0); err != nil {
		t.Fatal(err)
	}
	get("/truncated")
	if text := s.expectLine(t, "access.log", "/truncated"); strings.Contains(text, "\x00") || strings.Contains(text, "/rotated") {
		t.Errorf("%q", text)
	}

	// A reload changes the format; one with a middleware that is not there is refused.
	write(t, filepath.Join(s.dir, "config/tqserver.yaml"), accessConfig("json"))
	if _, stderr, code := s.command(t, "reload"); code != 0 {
		t.Fatal(stderr)
	}
	get("/index.php?json")
	text = s.expectLine(t, "access.log", "/index.php?json")
	var entry map[string]any
	if err := json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &entry); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	id, _ := entry["request_id"].(string)
	if entry["worker"] != "app" || entry["front"] != "http" || entry["status"] != 200.0 || len(id) != 32 {
		t.Error(entry)
	}
	if _, ok := entry["queue_time"].(float64); !ok {
		t.Error(entry)
	}
	s.allow("reload failed")
	write(t, filepath.Join(s.dir, "config/tqserver.yaml"), strings.ReplaceAll(accessConfig("json"), "[access_log]", "[acces_log]"))
	_, stderr, code := s.command(t, "reload")
	if want := `config/tqserver.yaml:7:16: router.middleware[0]: no middleware is named "acces_log"; there is access_log`; code == 0 || !strings.Contains(stderr, want) {
		t.Errorf("exit code %d, no %s in:\n%s", code, want, stderr)
	}
	get("/still")
	s.expectLine(t, "access.log", "/still")
}

// A worker names a middleware for itself; a wrong name keeps the version before.
func TestMiddlewareOfAWorker(t *testing.T) {
	needPHP(t)
	config := strings.ReplaceAll(accessConfig("json"), "  middleware: [access_log]\n", "")
	worker := "path: /%\ntype: php\ndocument_root: public\nmiddleware: [access_log]\nphp: {pool: {max_workers: 1}}\n"
	s := start(t, options{files: map[string]string{
		"config/tqserver.yaml":            config,
		"workers/loud/config/worker.yaml": strings.ReplaceAll(worker, "%", "loud"),
		"workers/loud/public/index.php":   "<?php echo 'loud';",
	}})
	get := func(path string) {
		t.Helper()
		resp, err := http.Get("http://" + s.http + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	get("/index.php")
	get("/loud/index.php?1")
	if text := s.expectLine(t, "access.log", "/loud/index.php?1"); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"worker":"loud"`) {
		t.Error(text)
	}
	s.allow("reloaded, but for workers")
	write(t, filepath.Join(s.dir, "workers/loud/config/worker.yaml"), strings.ReplaceAll(strings.ReplaceAll(worker, "%", "loud"), "access_log", "acess_log"))
	_, stderr, _ := s.command(t, "reload")
	if want := `worker.yaml:4:14: middleware[0]: no middleware is named "acess_log"; there is access_log`; !strings.Contains(stderr, want) {
		t.Errorf("no %s in:\n%s", want, stderr)
	}
	get("/loud/index.php?2") // is still served, and logged
	s.expectLine(t, "access.log", "/loud/index.php?2")
}
