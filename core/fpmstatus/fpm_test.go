package fpmstatus

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/cgi"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// fpmPage is FPM's page by its documented JSON keys; what exporters decode.
type fpmPage struct {
	Pool               string       `json:"pool"`
	ProcessManager     string       `json:"process manager"`
	StartTime          int64        `json:"start time"`
	StartSince         int64        `json:"start since"`
	AcceptedConn       int64        `json:"accepted conn"`
	ListenQueue        int64        `json:"listen queue"`
	MaxListenQueue     int64        `json:"max listen queue"`
	ListenQueueLen     int64        `json:"listen queue len"`
	IdleProcesses      int64        `json:"idle processes"`
	ActiveProcesses    int64        `json:"active processes"`
	TotalProcesses     int64        `json:"total processes"`
	MaxActiveProcesses int64        `json:"max active processes"`
	MaxChildrenReached int64        `json:"max children reached"`
	SlowRequests       uint64       `json:"slow requests"`
	MemoryPeak         int64        `json:"memory peak"`
	Processes          []fpmProcess `json:"processes"`
}

type fpmProcess struct {
	PID               int64   `json:"pid"`
	State             string  `json:"state"`
	StartTime         int64   `json:"start time"`
	StartSince        int64   `json:"start since"`
	Requests          int64   `json:"requests"`
	RequestDuration   int64   `json:"request duration"`
	RequestMethod     string  `json:"request method"`
	RequestURI        string  `json:"request uri"`
	ContentLength     int64   `json:"content length"`
	User              string  `json:"user"`
	Script            string  `json:"script"`
	LastRequestCPU    float64 `json:"last request cpu"`
	LastRequestMemory int64   `json:"last request memory"`
}

// status is what the page tells, as our pool would have it.
func (p *fpmPage) status() api.WorkerStatus {
	s := api.WorkerStatus{
		Worker: p.Pool, Manager: p.ProcessManager, Started: time.Unix(p.StartTime, 0),
		Queued: int(p.ListenQueue), QueuedMost: int(p.MaxListenQueue), QueueLength: int(p.ListenQueueLen),
		Idle: int(p.IdleProcesses), Active: int(p.ActiveProcesses), ActiveMost: int(p.MaxActiveProcesses), PeakMemory: p.MemoryPeak,
	}
	s.Accepted, s.LimitReached, s.Slow = uint64(p.AcceptedConn), uint64(p.MaxChildrenReached), p.SlowRequests
	for _, q := range p.Processes {
		dash := func(v string) string { return strings.TrimPrefix(v, "-") }
		s.Processes = append(s.Processes, api.ProcessStatus{
			Process: sdk.Process{PID: int(q.PID), Connection: 1, Started: time.Unix(q.StartTime, 0)},
			Running: q.State == "Running", Requests: uint64(q.Requests), Duration: time.Duration(q.RequestDuration) * time.Microsecond,
			Method: dash(q.RequestMethod), URI: dash(q.RequestURI), User: dash(q.User), Script: dash(q.Script), ContentLength: q.ContentLength,
			LastRequestCPU: q.LastRequestCPU, LastRequestMemory: q.LastRequestMemory,
		})
	}
	return s
}

var numbers = regexp.MustCompile(`[0-9]+`)

// TestEveryFormatIsAsPHPFPMHasIt asks a real php-fpm of two processes, one in
// a script, the other telling, for its page
// in every format, puts the numbers that page tells into our status, and wants the same
// bytes of us, digits apart, and the same head.
func TestEveryFormatIsAsPHPFPMHasIt(t *testing.T) {
	ask, script, release := startFPM(t)
	held := make(chan struct{})
	go func() {
		defer close(held)
		_, _, _ = ask("POST", script, `a=<b>&é="`, "abc")
	}()
	defer func() { release(); <-held }()
	var real fpmPage
	until(t, "the request shows as running", func() bool {
		_, body, err := ask("GET", "/status", "json&full", "")
		real = fpmPage{}
		if err != nil || json.Unmarshal([]byte(body), &real) != nil {
			t.Fatalf("php-fpm's page: %v %q", err, body)
		}
		return slices.ContainsFunc(real.Processes, func(p fpmProcess) bool { return p.Script == script && p.State == "Running" })
	})
	if len(real.Processes) != 2 { // its totals are wrong at times: 3 active of 2
		t.Fatalf("%+v", real)
	}
	_, memoryPeak, err := ask("GET", "/status", "", "")
	if err != nil {
		t.Fatal(err)
	}
	hasPeak := strings.Contains(memoryPeak, "memory peak") // PHP 8.4

	for _, query := range []string{
		"", "full", "json", "json&full", "html", "html&full", "xml", "xml&full", "openmetrics", "full&openmetrics",
		"html&json", "json=", "%6ason&xml&full=0", "fullx&+json", "json[]=1", "json[", "a;json",
	} {
		head, body, err := ask("GET", "/status", query, "")
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		s := real.status()
		for i, p := range s.Processes {
			if strings.HasPrefix(p.URI, "/status") && p.Running { // this answer itself
				s.Processes[i].URI = "/status?" + query
			}
		}
		w := httptest.NewRecorder()
		Serve(w, httptest.NewRequest("GET", "/status?"+query, nil), s)
		for _, name := range []string{"Content-Type", "Expires", "Cache-Control"} {
			if got, want := w.Header().Get(name), head.Get(name); got != want {
				t.Errorf("%q: %s: %q, php-fpm sends %q", query, name, got, want)
			}
		}
		got := w.Body.String()
		if !hasPeak {
			got = withoutPeak(got)
		}
		if got, want := numbers.ReplaceAllString(got, "9"), numbers.ReplaceAllString(body, "9"); got != want {
			t.Errorf("%q: we say\n%s\nphp-fpm says\n%s", query, got, want)
		}
	}

	head, body, err := ask("GET", "/ping", "", "")
	w := httptest.NewRecorder()
	ServePing(w, httptest.NewRequest("GET", "/ping", nil), "pong")
	if err != nil || w.Body.String() != body || w.Header().Get("Content-Type") != head.Get("Content-Type") ||
		w.Header().Get("Cache-Control") != head.Get("Cache-Control") {
		t.Errorf("ping: %v %v %q, php-fpm: %+v %q", err, w.Header(), w.Body, head, body)
	}
}

var peak = regexp.MustCompile(`,"memory peak":\d+|<memory-peak>\d+</memory-peak>\n|<tr><th>memory peak</th><td>\d+</td></tr>\n|memory peak: +\d+\n|(# (HELP|TYPE) )?phpfpm_memory_peak .*\n`)

// withoutPeak takes out what PHP before 8.4 does not tell.
func withoutPeak(page string) string { return peak.ReplaceAllString(page, "") }

// startFPM returns a function that asks php-fpm, and a script that runs until
// it is released.
func startFPM(t *testing.T) (ask func(method, path, query, body string) (*cgi.Head, string, error), script string, release func()) {
	t.Helper()
	fpm := ""
	for _, name := range []string{"php-fpm8.4", "php-fpm8.3", "php-fpm8.2", "php-fpm"} {
		for _, folder := range []string{"", "/usr/sbin/"} {
			if path, err := exec.LookPath(folder + name); err == nil && fpm == "" {
				fpm = path
			}
		}
	}
	if fpm == "" {
		if os.Getenv("TQ_E2E") == "require" {
			t.Fatal("TQ_E2E=require: php-fpm is not installed")
		}
		t.Skip("php-fpm is not installed")
	}
	dir := t.TempDir()
	script, sock, gate := filepath.Join(dir, "hold.php"), filepath.Join(dir, "s"), filepath.Join(dir, "gate")
	file(t, script, `<?php for ($i = 0; $i < 3000 && !file_exists('`+gate+`'); $i++) { clearstatcache(); usleep(10000); }`)
	config := "[global]\nerror_log=" + dir + "/log\ndaemonize=no\n[www]\nlisten=" + sock +
		"\npm=static\npm.max_children=2\npm.status_path=/status\nping.path=/ping\n"
	args := []string{"-F", "-y", filepath.Join(dir, "c")}
	if os.Getuid() == 0 {
		args, config = append(args, "-R"), config+"user=root\ngroup=root\n"
	}
	file(t, filepath.Join(dir, "c"), config)
	cmd := exec.Command(fpm, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	ask = func(method, path, query, body string) (*cgi.Head, string, error) {
		raw, err := (&net.Dialer{}).DialContext(context.Background(), "unix", sock)
		if err != nil {
			return nil, "", err
		}
		_ = raw.SetDeadline(time.Now().Add(60 * time.Second))
		c := fastcgi.NewConn(raw, fastcgi.ConnOptions{})
		defer c.Close()
		params := fastcgi.Params{}
		for name, value := range map[string]string{
			"SCRIPT_NAME": path, "SCRIPT_FILENAME": path, "REQUEST_METHOD": method,
			"QUERY_STRING": query, "CONTENT_LENGTH": strconv.Itoa(len(body)),
		} {
			params = append(params, fastcgi.Param{Name: name, Value: value})
		}
		if err := c.Start(fastcgi.Responder, true, params, []byte(body)); err != nil {
			return nil, "", err
		}
		answer, err := io.ReadAll(c)
		if err != nil {
			return nil, "", err
		}
		head, n, err := cgi.ParseHead(answer, 0)
		if err != nil {
			return nil, "", err
		}
		return head, string(bytes.Clone(answer[n:])), nil
	}
	until(t, "php-fpm listens", func() bool { _, _, err := ask("GET", "/ping", "", ""); return err == nil })
	return ask, script, func() { file(t, gate, "") }
}

func file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Error(err)
	}
}

// until polls with a deadline.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
