package load

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What wrk 4.1.0 with wrkDone printed, shortened.
const wrkOutput = `Running 1s test @ http://127.0.0.1:45173/hello.php
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.43ms  500.83us   9.63ms   86.05%
  11763 requests in 1.01s, 2.30MB read
Requests/sec:  11652.15
tqbench: duration_us=1009513 requests=11763 connect=1 read=2 write=0 status=3 timeout=4 p50_us=1390 p99_us=2850 max_us=9630
`

func TestParseWrk(t *testing.T) {
	t.Parallel()
	got, err := parseWrk([]byte(wrkOutput))
	if err != nil {
		t.Fatal(err)
	}
	want := Result{
		Requests: 11766, Good: 11760, Errors: map[string]int{"connect": 1, "read": 2, "status": 3, "timeout": 4}, Elapsed: 1009513 * time.Microsecond,
		P50: 1390 * time.Microsecond, P99: 2850 * time.Microsecond, Max: 9630 * time.Microsecond,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, bad := range map[string]string{
		"nothing":      "",
		"no line":      strings.Replace(wrkOutput, "tqbench:", "other:", 1),
		"no number":    strings.Replace(wrkOutput, "requests=11763", "requests=many", 1),
		"no errors":    strings.Replace(wrkOutput, "status=3", "", 1),
		"no time":      strings.Replace(wrkOutput, "duration_us=1009513", "duration_us=0", 1),
		"Lua's failed": "duration_us=1\ntqbench: requests\n",
	} {
		if got, err := parseWrk([]byte(bad)); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

func TestLuaString(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a=1&b=\n":                `"a=1&b=\n"`,
		strings.Repeat("x", 1000): `string.rep("x", 1000)`,
	} {
		if got := luaString(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
}

func TestWrkWantsWholeSeconds(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{0, time.Millisecond, 1500 * time.Millisecond} {
		if _, err := (Wrk{Duration: d}).Run(t.Context()); err == nil {
			t.Errorf("%v is taken", d)
		}
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, c := range []struct {
		in   []time.Duration
		p    int
		want time.Duration
	}{{nil, 50, 0}, {hundred[:1], 99, 1}, {hundred[:3], 50, 2}, {hundred, 50, 50}, {hundred, 99, 99}, {hundred[:10], 99, 10}} {
		if got := percentile(c.in, c.p); got != c.want {
			t.Errorf("%d of %v: %d, want %d", c.p, c.in, got, c.want)
		}
	}
}

func helloRequest() Request {
	return Request{Path: "/", Check: func(body string) error {
		if body != "hello" {
			return errors.New(body)
		}
		return nil
	}}
}

// A server that answers half of its clients and lets the others wait: the
// crowd and the visitor must see that.
func TestThoseWhoStarveCount(t *testing.T) {
	t.Parallel()
	var clients atomic.Int64
	s := httptest.NewUnstartedServer(nil)
	type key struct{}
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n, ok := r.Context().Value(key{}).(int64); ok && n%2 == 0 {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, "hello")
	})
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, key{}, clients.Add(1))
	}
	s.Start()
	defer s.Close()
	const lasts = 300 * time.Millisecond
	got, err := Crowd{URL: s.URL, Request: helloRequest(), Clients: 2, Duration: lasts}.Run(t.Context())
	if err != nil || got.Good == 0 || got.Max < lasts/2 || len(got.Errors) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	clients.Store(1)
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	if longest, err := Visit(ctx, s.URL, helloRequest()); err != nil || longest < lasts/2 {
		t.Errorf("%v, %v", longest, err)
	}
}

// Each kind of wrong answer is counted as what it is.
func TestErrorsAreCounted(t *testing.T) {
	t.Parallel()
	for kind, h := range map[string]http.HandlerFunc{
		"status":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"body":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hell") },
		"connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var seen atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if seen.Add(1) > 20 {
				cancel()
			}
			h(w, r)
		}))
		got, err := Crowd{URL: s.URL, Request: helloRequest(), Clients: 2, Duration: time.Minute}.Run(ctx)
		cancel()
		s.Close()
		if err == nil || got.Good != 0 || got.Errors[kind] == 0 || len(got.Errors) != 1 {
			t.Errorf("%s: %+v, %v", kind, got, err)
		}
	}
}

func TestBurst(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strconv.FormatInt(time.Now().Add(time.Hour).UnixMicro(), 10))
	}))
	defer s.Close()
	any := Request{Path: "/", Check: func(string) error { return nil }}
	starts, err := Burst(t.Context(), s.URL, any, 5)
	if err != nil || len(starts) != 5 || starts[0] < time.Hour || starts[4] > time.Hour+time.Minute {
		t.Errorf("%v, %v", starts, err)
	}
	if _, err := since(time.Now(), "soon"); err == nil {
		t.Error("no time is taken for one")
	}
}
