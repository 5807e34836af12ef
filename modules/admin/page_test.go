package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

var tags = regexp.MustCompile(`</?[a-zA-Z][a-zA-Z0-9]*`)

func TestPage(t *testing.T) {
	down := api.WorkerStatus{Worker: "down", Type: "php", State: api.WorkerDown, Reason: "php-cgi: <b>not found</b>", Started: time.Now(), MaxWorkers: 8, QueueLength: 256, ProcessesUnread: "the plugin process is gone"}
	rest := api.WorkerStatus{Worker: "rest", Type: "php", Manager: "ondemand", State: api.WorkerAtRest, Started: time.Now(), MaxWorkers: 8, QueueLength: 256}
	many := busy("many")
	for range 100 {
		many.Processes = append(many.Processes, many.Processes[3])
	}
	many.State, many.Reason = api.WorkerDegraded, "3 crashes within 1m0s"
	op := &fakeOperator{workers: []api.WorkerStatus{busy("blog"), down, many, rest}}
	w := get(newAdmin(t, DefaultConfig(), op, false), "GET", "/")
	page := w.Body.String()
	if path := os.Getenv("TQ_PAGE"); path != "" { // to look at it in a browser
		if err := os.WriteFile(path, w.Body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, text := range []string{
		"not ready", "worker down is down: php-cgi: &lt;b&gt;not found&lt;/b&gt;", "3 of 4, at most 4", "2 of 64, at most 17", "≤ 1 ms", "≤ 100 ms", "4 timed out", `href="#worker-many"`,
		"120 max_requests, 31 idle", `href="/status/blog?full"`, "in reserve", "and 80 more", "3 crashes within 1m0s", "at rest", "the plugin process is gone",
		"&lt;script&gt;", `http-equiv="refresh" content="5"`,
	} {
		if !strings.Contains(page, text) {
			t.Errorf("no %q in the page\n%s", text, page)
		}
	}
	known := " html head meta link title style body header h1 h2 span a div section dl dt dd meter table thead tbody tr th td p "
	for _, tag := range tags.FindAllString(page, -1) {
		if name := strings.TrimLeft(tag, "</"); !strings.Contains(known, " "+name+" ") {
			t.Errorf("the page has <%s>", name)
		}
	}
	if i := strings.Index(page, "://"); i >= 0 {
		t.Errorf("the page leads elsewhere: %s", page[max(0, i-80):i+40])
	}
	_, style, _ := strings.Cut(page, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	if hash := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(w.Header().Get("Content-Security-Policy"), hash) {
		t.Errorf("browsers will not take the style: %s", w.Header().Get("Content-Security-Policy"))
	}
	if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, ` style=`) {
		t.Error("a value that its place cannot hold")
	}
	for query, want := range map[string]string{"?refresh=0": "", "?refresh=30": `content="30"`, "?refresh=99999": `content="600"`, "?refresh=<x>": `content="5"`} {
		if page := get(newAdmin(t, DefaultConfig(), op, false), "GET", "/"+query).Body.String(); strings.Contains(page, "http-equiv") != (want != "") || !strings.Contains(page, want) {
			t.Errorf("%s", query)
		}
	}
}

func TestIndex(t *testing.T) {
	s := busy("blog")
	a := newAdmin(t, DefaultConfig(), &fakeOperator{workers: []api.WorkerStatus{s}}, false)
	if w := get(a, "GET", "/status"); !strings.HasPrefix(w.Body.String(), "WORKER ") || !strings.Contains(w.Body.String(), "3/4") {
		t.Errorf("%s", w.Body)
	}
	var index struct{ Workers []indexEntry }
	w := get(a, "GET", "/status?json")
	if err := json.Unmarshal(w.Body.Bytes(), &index); err != nil || len(index.Workers) != 1 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%v %s", err, w.Body)
	}
	if e := index.Workers[0]; e.Worker != "blog" || e.Outcomes["timed_out"] != 4 || e.Retired["max_age"] != 0 || e.Retired["idle"] != 31 || e.Queued != 2 {
		t.Errorf("%+v", e)
	}
}
