package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeOperator tells what the test has set.
type fakeOperator struct {
	workers []api.WorkerStatus
	hangs   string // the worker whose status does not come
	asked   atomic.Int64
}

func (f *fakeOperator) Names() []string {
	names := make([]string, 0, len(f.workers))
	for i := range f.workers {
		names = append(names, f.workers[i].Worker)
	}
	return names
}

func (f *fakeOperator) Status(ctx context.Context, worker string, full bool) (api.WorkerStatus, error) {
	f.asked.Add(1)
	for _, s := range f.workers {
		if s.Worker != worker {
			continue
		}
		if worker == f.hangs {
			<-ctx.Done()
			return api.WorkerStatus{}, errors.New("its plugin does not answer")
		}
		if !full {
			s.Processes = nil
		}
		return s, nil
	}
	return api.WorkerStatus{}, api.ErrNoWorker
}

func (f *fakeOperator) Restart(context.Context, string) error {
	return errors.New("a page must change nothing")
}

// hostile is a URI as a client may send it.
const hostile = "/<script>alert(1)</script>?\"'&\x00\xff\n</td>"

// busy is a worker with something of everything.
func busy(name string) api.WorkerStatus {
	now := time.Now()
	s := api.WorkerStatus{
		Worker: name, Type: "php", Manager: "dynamic", State: api.WorkerReady, Started: now.Add(-26 * time.Hour), MaxWorkers: 4, QueueLength: 64,
		Active: 3, Idle: 1, ActiveMost: 4, Queued: 2, QueuedMost: 17, PeakMemory: 48 << 20,
		PoolCounters: api.PoolCounters{
			Accepted: 123456, Done: 123400, Refused: 20, Expired: 10, Left: 6, Aborted: 5, TimedOut: 4, Crashed: 3, Failed: 3,
			Slow: 12, Replayed: 1, LimitReached: 9, Restarts: 2, Retired: map[string]uint64{"max_requests": 120, "idle": 31},
		},
		QueueWait: api.Histogram{Bounds: []float64{.001, .01, .1, 1}, Counts: []uint64{123000, 300, 100, 50, 6}, Sum: 80},
		Duration:  api.Histogram{Bounds: []float64{.01, .1, 1, 10}, Counts: []uint64{3000, 120000, 400, 0, 0}, Sum: 6000},
	}
	for i := range 4 {
		s.Processes = append(s.Processes, api.ProcessStatus{
			Process: sdk.Process{PID: 4711 + i, Connection: sdk.Connection(100 + i), Started: now.Add(-time.Duration(i+1) * time.Hour), Memory: int64(5+i) << 20},
			Running: i < 3, Requests: uint64(40 + i), Duration: time.Duration(i+1) * 350 * time.Millisecond, Method: "GET",
			URI: "/shop/product.php?id=" + strings.Repeat("7", i+1), Script: "/srv/shop/product.php",
		})
	}
	s.Processes[0].URI = hostile
	s.Processes = append(s.Processes, api.ProcessStatus{Process: sdk.Process{PID: 4800, Started: now.Add(-time.Hour), Memory: 48 << 10}})
	return s
}

func newAdmin(t *testing.T, cfg Config, op api.Operator, draining bool) *Admin {
	t.Helper()
	a, err := New(cfg, Deps{Operator: op, Draining: func() bool { return draining }, Version: "1.2.3", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// get asks a; header holds names and values in turn, Host among them.
func get(a http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = "127.0.0.1:8090"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

func TestReadinessTellsEveryReason(t *testing.T) {
	op := &fakeOperator{}
	for _, c := range []struct {
		state  api.WorkerState
		reason string
	}{
		{api.WorkerReady, ""},
		{api.WorkerAtRest, ""},
		{api.WorkerDegraded, "3 crashes\nwithin 1m0s"},
		{api.WorkerStarting, ""},
		{api.WorkerDown, "php-cgi: not found"},
		{api.WorkerStopping, ""},
	} {
		op.workers = append(op.workers, api.WorkerStatus{Worker: "w-" + strings.ReplaceAll(string(c.state), " ", "-"), State: c.state, Reason: c.reason})
	}
	w := get(newAdmin(t, DefaultConfig(), op, true), "GET", "/readyz")
	want := "not ready\nthe server is stopping\nworker w-starting is starting\nworker w-down is down: php-cgi: not found\nworker w-stopping is stopping\n"
	if w.Code != 503 || w.Body.String() != want {
		t.Errorf("%d %q, want %q", w.Code, w.Body, want)
	}
	op.workers = op.workers[:3]
	if w := get(newAdmin(t, DefaultConfig(), op, false), "GET", "/readyz"); w.Code != 200 || w.Body.String() != "ready\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := get(newAdmin(t, DefaultConfig(), op, true), "GET", "/healthz"); w.Code != 200 || w.Body.String() != "ok\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

// TestOneWorkerThatDoesNotAnswerHidesNoOther also bounds the wait.
func TestOneWorkerThatDoesNotAnswerHidesNoOther(t *testing.T) {
	t.Parallel()
	op := &fakeOperator{workers: []api.WorkerStatus{busy("blog"), busy("shop")}, hangs: "blog"}
	a := newAdmin(t, DefaultConfig(), op, false)
	for path, want := range map[string]string{
		"/": "its plugin does not answer", "/metrics": `tqserver_worker_up{worker="blog"} 0`, "/readyz": "worker blog: its plugin does not answer",
		"/status": "blog is unknown: its plugin does not answer", "/status?json": `"state":"unknown"`, "/status/blog": "503 Service Unavailable",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			if w := get(a, "GET", path); !strings.Contains(w.Body.String(), want) || path != "/readyz" && path != "/status/blog" && !strings.Contains(w.Body.String(), "shop") {
				t.Errorf("%d %.2000s", w.Code, w.Body)
			}
		})
	}
}

func TestStatusOfAWorker(t *testing.T) {
	a := newAdmin(t, DefaultConfig(), &fakeOperator{workers: []api.WorkerStatus{busy("blog")}}, false)
	w := get(a, "GET", "/status/blog?json&full")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || !strings.Contains(w.Body.String(), `"listen queue":2`) || !strings.Contains(w.Body.String(), `"pid":4711`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := get(a, "HEAD", "/status/blog"); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	for _, path := range []string{"/status/none", "/status/", "/status/blog/more", "/other", "/status/..%2f..%2fetc%2fpasswd"} {
		if w := get(a, "GET", path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}
