package admin

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/mevdschee/tqserver/core/api"
)

func TestMetricsFollowTheConventions(t *testing.T) {
	op := &fakeOperator{workers: []api.WorkerStatus{busy("blog"), busy("o\"dd\\\n\xff"), {Worker: "rest", State: api.WorkerAtRest}}}
	a := newAdmin(t, DefaultConfig(), op, true)
	text := get(a, "GET", "/metrics").Body.String()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, line := range []string{
		`tqserver_build_info{goversion="go1.`, `tqserver_ready 0`, `tqserver_draining 1`, `tqserver_worker_up{worker="blog"} 1`,
		`tqserver_worker_info{manager="dynamic",type="php",worker="blog"} 1`,
		`tqserver_worker_state{state="ready",worker="blog"} 1`, `tqserver_worker_state{state="down",worker="blog"} 0`, `tqserver_worker_state{state="at rest",worker="rest"} 1`,
		`tqserver_worker_requests_active{worker="blog"} 3`, `tqserver_worker_requests_queued{worker="blog"} 2`,
		`tqserver_worker_processes{state="idle",worker="blog"} 1`,
		`tqserver_worker_processes_retired_total{reason="max_requests",worker="blog"} 120`, `tqserver_worker_processes_retired_total{reason="max_age",worker="rest"} 0`,
		`tqserver_worker_queue_wait_seconds_bucket{worker="blog",le="0.1"} 123400`, `tqserver_worker_queue_wait_seconds_bucket{worker="blog",le="+Inf"} 123456`,
		`tqserver_worker_queue_wait_seconds_count{worker="blog"} 123456`, `tqserver_worker_request_duration_seconds_sum{worker="blog"} 6000`,
		`tqserver_worker_requests_total{outcome="crashed",worker="blog"} 3`, "go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	// OpenMetrics for whoever asks so.
	if w := get(a, "GET", "/metrics", "Accept", "application/openmetrics-text; version=1.0.0"); !strings.HasSuffix(w.Body.String(), "# EOF\n") ||
		!strings.HasPrefix(w.Header().Get("Content-Type"), "application/openmetrics-text") {
		t.Errorf("%v", w.Header())
	}
}

// TestMonitoringPageNamesEveryMetric: none is missing there, none is made up.
func TestMonitoringPageNamesEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../../docs/guide/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	a := newAdmin(t, DefaultConfig(), &fakeOperator{workers: []api.WorkerStatus{busy("blog")}}, false)
	have := regexp.MustCompile(`(?m)^# TYPE (tqserver_\w+)`).FindAllStringSubmatch(get(a, "GET", "/metrics").Body.String(), -1)
	known := map[string]bool{}
	for _, m := range have {
		known[m[1]] = true
		if !regexp.MustCompile(`\b` + m[1] + `\b`).Match(page) {
			t.Errorf("docs/guide/monitoring.md does not name %s", m[1])
		}
	}
	for _, name := range regexp.MustCompile(`\btqserver_\w+`).FindAllString(string(page), -1) {
		if !known[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("docs/guide/monitoring.md names %s, which is no metric", name)
		}
	}
	if len(have) < 20 {
		t.Errorf("only %d metrics", len(have))
	}
}

// TestMetricsOfPlugins stand beside ours; a plugin that tells none hides none.
func TestMetricsOfPlugins(t *testing.T) {
	a, err := New(DefaultConfig(), Deps{
		Operator: &fakeOperator{workers: []api.WorkerStatus{busy("blog")}}, Draining: func() bool { return false }, Log: slog.New(slog.DiscardHandler),
		Metrics: func(context.Context) (map[string][]byte, error) {
			return map[string][]byte{"index": []byte("# TYPE jobs_total counter\njobs_total 4\n")}, errors.New("worker shop: it does not answer")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := get(a, "GET", "/metrics")
	for _, line := range []string{`jobs_total{worker="index"} 4`, `tqserver_worker_up{worker="blog"} 1`} {
		if w.Code != 200 || !strings.Contains(w.Body.String(), line) {
			t.Errorf("%d: no %s in %.2000s", w.Code, line, w.Body)
		}
	}
}

// TestMetricsAddUp: every request is in exactly one place (reliability, 56).
func TestMetricsAddUp(t *testing.T) {
	s := busy("blog")
	s.Accepted = s.Done + s.Refused + s.Expired + s.Left + s.Aborted + s.TimedOut + s.Crashed + s.Failed + uint64(s.Active) + uint64(s.Queued)
	a := newAdmin(t, DefaultConfig(), &fakeOperator{workers: []api.WorkerStatus{s}}, false)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(get(a, "GET", "/metrics").Body)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, name := range []string{"tqserver_worker_requests_total", "tqserver_worker_requests_active", "tqserver_worker_requests_queued"} {
		for _, m := range families[name].GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	if accepted := families["tqserver_worker_requests_accepted_total"].GetMetric()[0].GetCounter().GetValue(); sum != accepted || accepted != float64(s.Accepted) {
		t.Errorf("accepted %v, in its places %v", accepted, sum)
	}
}
