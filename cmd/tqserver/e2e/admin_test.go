package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// withAdmin is a server whose worker app has the pool, and the address of its
// admin.
func withAdmin(t *testing.T, pool string) (*server, string) {
	t.Helper()
	files := smallPool(pool)
	files["workers/app/config/worker.yaml"] += "fastcgi: {listen: [\"unix:app.sock\"]}\n"
	files["config/tqserver.yaml"] = baseConfig + "admin:\n  listen: [\"127.0.0.1:0\", \"unix:admin.sock\"]\n"
	s := start(t, options{files: files})
	return s, adminOf(t, s)
}

func adminOf(t *testing.T, s *server) string {
	t.Helper()
	line, ok := s.log.find(0, "answering for operators")
	if !ok {
		t.Fatal("admin does not say where it answers")
	}
	return "http://" + line.text("address")
}

var sample = regexp.MustCompile(`(?m)^(tqserver_\w+)(\{[^}]*\})? (\S+)$`)

// metrics returns the sum of each metric over its labels other than outcome,
// which is part of the name: "tqserver_worker_requests_total done".
func metrics(t *testing.T, c *http.Client, admin string) map[string]float64 {
	t.Helper()
	sums := map[string]float64{}
	for _, m := range sample.FindAllStringSubmatch(must(t, c, 200, "GET", admin+"/metrics", nil).body, -1) {
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatalf("%s: %v", m[0], err)
		}
		name := m[1]
		if _, outcome, ok := strings.Cut(m[2], `outcome="`); ok {
			outcome, _, _ = strings.Cut(outcome, `"`)
			sums[name+" "+outcome] += value
		}
		sums[name] += value
	}
	return sums
}

// TestStatusWhileEveryProcessIsBusy: one child is held, one request waits, one
// was refused; everything that shows the server answers, and tells the truth.
func TestStatusWhileEveryProcessIsBusy(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s, admin := withAdmin(t, "queue: {length: 1, wait: 20s}, status_path: /fpm-status, ping_path: /fpm-ping, ping_response: here")
	c := newClient(t)
	must(t, c, 200, "GET", admin+"/readyz", nil)
	before := metrics(t, c, admin)["tqserver_worker_requests_total done"]

	gate := unique(t)
	held := "/gate.php?name=" + gate + "&x=<script>alert(1)</script>\"'" + strings.Repeat("y", 1000)
	running := later(newClient(t), "http://"+s.http+strings.ReplaceAll(held, `"`, "%22"))
	child := s.atGate(t, gate)
	waiting := later(newClient(t), "http://"+s.http+"/answer.php")
	poll(t, 10*time.Second, "a request waits", func() bool { return metrics(t, c, admin)["tqserver_worker_requests_queued"] == 1 })
	must(t, c, 503, "GET", "http://"+s.http+"/answer.php", nil)

	pages := map[string]string{"admin": admin + "/status/app"}
	for _, f := range s.fronts(t)[:3] { // the others send only *.php here
		pages[f.name] = f.url("/fpm-status")
		if a := must(t, c, 200, "GET", f.url("/fpm-ping"), nil); a.body != "here" || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %q %v", f.name, a.body, a.Header)
		}
	}
	for name, url := range pages {
		a := must(t, c, 200, "GET", url+"?json&full", nil)
		var p fpmStatus
		if err := json.Unmarshal([]byte(a.body), &p); err != nil {
			t.Fatalf("%s: %v %s", name, err, a.body)
		}
		if p.Pool != "app" || p.Queue != 1 || p.QueueMost != 1 || p.QueueLen != 1 || p.Active != 1 || p.Total != 1 || p.Accepted < 3 || p.Reached < 1 {
			t.Errorf("%s: %+v", name, p)
		}
		if len(p.Processes) != 1 || p.Processes[0].PID != child.pid || p.Processes[0].State != "Running" ||
			!strings.Contains(p.Processes[0].URI, strings.Repeat("y", 1000)) || !strings.HasSuffix(p.Processes[0].Script, "/gate.php") {
			t.Errorf("%s: %+v, the child is %d", name, p.Processes, child.pid)
		}
		for _, format := range []string{"html", "xml"} {
			if a := must(t, c, 200, "GET", url+"?full&"+format, nil); strings.Contains(a.body, "<script>alert") || !strings.Contains(a.body, "&lt;script&gt;") {
				t.Errorf("%s: %s: %s", name, format, a.body)
			}
		}
		if a := must(t, c, 200, "GET", url+"?openmetrics", nil); !strings.Contains(a.body, "phpfpm_listen_queue 1\n") || !strings.HasSuffix(a.body, "# EOF\n") {
			t.Errorf("%s: %s", name, a.body)
		}
		if a := must(t, c, 200, "GET", url+"?full", nil); !strings.Contains(a.body, "\nlisten queue:         1\n") || !strings.Contains(a.body, fmt.Sprintf("\npid:                  %d\n", child.pid)) {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	// As exporters and `cgi-fcgi` recipes ask the socket of a PHP-FPM pool.
	for _, name := range []string{"app.sock", "f.sock"} {
		got, err := fcgi(t, "unix", s.path(name), "SCRIPT_NAME", "/fpm-status", "SCRIPT_FILENAME", "/fpm-status", "REQUEST_METHOD", "GET", "QUERY_STRING", "json&full")
		var p fpmStatus
		if err != nil || got.status() != 200 || json.Unmarshal([]byte(got.body()), &p) != nil || p.Queue != 1 || len(p.Processes) != 1 {
			t.Errorf("%s: %v %+v", name, err, got)
		}
		got, err = fcgi(t, "unix", s.path(name), "SCRIPT_NAME", "/fpm-ping", "SCRIPT_FILENAME", "/fpm-ping", "REQUEST_METHOD", "GET")
		if err != nil || got.body() != "here" {
			t.Errorf("%s: %v %+v", name, err, got)
		}
	}
	a := must(t, c, 200, "GET", admin+"/", nil)
	if strings.Contains(a.body, "<script>alert") || !strings.Contains(a.body, "&lt;script&gt;") || !strings.Contains(a.body, "1 of 1, at most 1") {
		t.Errorf("%s", a.body)
	}
	must(t, c, 200, "GET", admin+"/healthz", nil)
	must(t, c, 200, "GET", admin+"/readyz", nil)
	must(t, c, 403, "GET", admin+"/", nil, "Origin", "http://evil.example")
	must(t, c, 405, "POST", admin+"/", strings.NewReader("a=b"))
	if a, err := raw(t, strings.TrimPrefix(admin, "http://"), "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"); err != nil || a.StatusCode != 403 || strings.Contains(a.body, "app") {
		t.Errorf("%v %v %s", err, a.Response, a.body)
	}

	if a, err := exchange(dial(t, "unix", s.path("admin.sock")), "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil ||
		!strings.Contains(a.body, "1/1") || mustMode(t, s.path("admin.sock")) != 0o600 {
		t.Errorf("%v %+v", err, a)
	}

	s.open(t, gate)
	for _, wait := range []func() (answer, error){running, waiting} {
		if a, err := wait(); err != nil || a.StatusCode != 200 {
			t.Errorf("%v %v", err, a.Response)
		}
	}
	// Counts are exact: two answered, one refused, nothing left.
	poll(t, 10*time.Second, "the account is settled", func() bool {
		return metrics(t, c, admin)["tqserver_worker_requests_total done"] == before+2
	})
	m := metrics(t, c, admin)
	if m["tqserver_worker_requests_total refused"] != 1 || m["tqserver_worker_requests_active"] != 0 || m["tqserver_worker_requests_queued"] != 0 ||
		m["tqserver_worker_requests_accepted_total"] != m["tqserver_worker_requests_total"] || m["tqserver_worker_queue_wait_seconds_count"] != before+2 ||
		m["tqserver_worker_request_duration_seconds_count"] != before+2 {
		t.Errorf("%v", m)
	}
}

// TestAdminAnswersUntilTheEnd: a kept connection to admin outlives a reload,
// and says during the drain that the server stops.
func TestAdminAnswersUntilTheEnd(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s, admin := withAdmin(t, "queue: {length: 1, wait: 20s}")
	kept := dial(t, "tcp", strings.TrimPrefix(admin, "http://"))
	ask := func(path string) answer {
		t.Helper()
		a, err := exchange(kept, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return a
	}
	if a := ask("/readyz"); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	from := s.log.len()
	s.signal(t, unix.SIGHUP)
	s.log.wait(t, 20*time.Second, from, `"msg":"reloaded"`)
	if a := ask("/readyz"); a.StatusCode != 200 {
		t.Errorf("after a reload: %d %s", a.StatusCode, a.body)
	}

	gate := unique(t)
	running := later(newClient(t), "http://"+s.http+"/gate.php?name="+gate)
	s.atGate(t, gate)
	family := s.family()
	s.signal(t, unix.SIGTERM)
	s.over = true
	poll(t, 10*time.Second, "readyz says that the server stops", func() bool {
		a := ask("/readyz")
		return a.StatusCode == 503 && strings.Contains(a.body, "the server is stopping")
	})
	if a := ask("/healthz"); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := ask("/status/app?json"); !strings.Contains(a.body, `"active processes":1`) {
		t.Errorf("%s", a.body)
	}
	s.open(t, gate)
	if a, err := running(); err != nil || a.StatusCode != 200 {
		t.Errorf("%v %v", err, a.Response)
	}
	if code := s.wait(t, 20*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.gone(t, family)
}

// TestReadyzTellsOfAWorkerThatIsDown.
func TestReadyzTellsOfAWorkerThatIsDown(t *testing.T) {
	t.Parallel()
	o := goWorker(t, "index", "/")
	write(t, o.dir+"/config/tqserver.yaml", baseConfig+"admin:\n  listen: [\"127.0.0.1:0\"]\n")
	s := start(t, o)
	s.allow("index")
	admin, c := adminOf(t, s), newClient(t)
	must(t, c, 200, "GET", admin+"/readyz", nil)
	write(t, o.dir+"/workers/index/bin/other", "")
	if err := unix.Rename(o.dir+"/workers/index/bin/other", o.dir+"/workers/index/bin/index"); err != nil { // cannot be started again
		t.Fatal(err)
	}
	kill(t, s.plugin(t, "bin/index"))
	poll(t, 15*time.Second, "readyz names the worker", func() bool {
		a, err := do(c, "GET", admin+"/readyz", nil)
		return err == nil && a.StatusCode == 503 && strings.Contains(a.body, "worker index is down: ")
	})
	must(t, c, 200, "GET", admin+"/healthz", nil)
	if m := metrics(t, c, admin); m["tqserver_ready"] != 0 {
		t.Errorf("tqserver_ready %v", m["tqserver_ready"])
	}
}
