package fpmstatus

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk"
)

var update = flag.Bool("update", false, "write the golden files")

// sample is a busy worker; its client sends what would break out of each
// format. now is when it is looked at.
func sample() (s api.WorkerStatus, now time.Time) {
	started := time.Date(2026, 3, 9, 8, 7, 6, 0, time.UTC)
	now = started.Add(26*time.Hour + 500*time.Millisecond)
	s = api.WorkerStatus{
		Worker: "blog", Type: "php", Manager: "dynamic", State: api.WorkerDegraded, Reason: "3 crashes within 1m0s",
		Started: started, MaxWorkers: 8, QueueLength: 256, Active: 1, Idle: 1, ActiveMost: 7, Queued: 2, QueuedMost: 31, PeakMemory: 12345678,
		PoolCounters: api.PoolCounters{
			Accepted: 1000, Done: 980, Refused: 3, Expired: 2, Left: 1, Aborted: 4, TimedOut: 5, Crashed: 1, Failed: 1,
			Slow: 9, Replayed: 1, LimitReached: 6, Retired: map[string]uint64{"max_requests": 12, "idle": 3},
		},
		Processes: []api.ProcessStatus{
			{
				Process: sdk.Process{PID: 4711, Connection: 7, Started: now.Add(-time.Hour)}, Running: true, Requests: 17,
				Duration: 1234567 * time.Microsecond, Method: "POST", URI: hostile, User: `o'neill"<b>`, Script: "/srv/blog/hello.php", ContentLength: 512,
			},
			{
				Process: sdk.Process{PID: 4712, Connection: 8, Started: now.Add(-time.Minute)}, Requests: 1, Duration: 2500 * time.Microsecond,
				Method: "GET", URI: "/hello.php", Script: "/srv/blog/hello.php", LastRequestCPU: 42.424, LastRequestMemory: 2097152,
			},
			{Process: sdk.Process{PID: 4713, Started: now.Add(-time.Minute)}}, // in reserve
		},
	}
	return s, now
}

// hostile is a URI as a client may send it.
const hostile = "/x?<script>alert(1)</script>&'\"\\\r\npool: evil\n\x1b[2J\x00\xff\u202e\u2028é😀# EOF"

func TestGoldenPages(t *testing.T) {
	s, now := sample()
	for name, c := range map[string]struct {
		format Format
		full   bool
	}{
		"text": {FormatText, false}, "text-full": {FormatText, true}, "json": {FormatJSON, false}, "json-full": {FormatJSON, true},
		"html": {FormatHTML, false}, "html-full": {FormatHTML, true}, "xml": {FormatXML, false}, "xml-full": {FormatXML, true},
		"openmetrics": {FormatOpenMetrics, false},
	} {
		var b bytes.Buffer
		if err := Write(&b, &s, c.format, c.full, now); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
	var b bytes.Buffer
	if err := overview(&b, []api.WorkerStatus{s, {Worker: "index", Type: "go", State: api.WorkerReady, Started: now.Add(-42 * time.Second), MaxWorkers: 64}}, now); err != nil {
		t.Fatal(err)
	}
	golden(t, "overview", b.Bytes())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (write anew by `go test -update`): %s", path, diff)
	}
}
