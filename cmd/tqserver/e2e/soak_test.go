package e2e

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// soakShort is how long the soak runs as one test among others; TQ_SOAK=2m
// (make soak) says otherwise.
const soakShort = 6 * time.Second

// account is what the clients of a soak saw.
type account struct {
	sent, ok, crashed, timedOut, left atomic.Int64
	odd                               atomic.Int64 // answers nobody expected
	first                             atomic.Value
}

func (a *account) strange(format string, args ...any) {
	a.odd.Add(1)
	a.first.CompareAndSwap(nil, fmt.Sprintf(format, args...))
}

// want counts an answer of the kind expected.
func (a *account) want(kind *atomic.Int64, status int, got answer, err error) {
	a.sent.Add(1)
	if err != nil || got.StatusCode != status {
		a.strange("want %d, have %v %v %.80q", status, err, got.Response, got.body)
		return
	}
	kind.Add(1)
}

// Load, retirement, restarts, reloads, crashes, time-outs, clients that leave, a
// plugin that is killed, all at once; at the end every request is accounted for,
// by the clients and by the server, and nothing is left over.
func TestSoak(t *testing.T) {
	t.Parallel()
	needPHP(t)
	length := soakShort
	if text := os.Getenv("TQ_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil || length > time.Hour {
			t.Fatalf("TQ_SOAK: give a duration of an hour at most: %v", err)
		}
	}
	files := appPool("max_workers: 6, max_requests: 40, max_memory: 4MiB, idle_timeout: 500ms, request_timeout: 4s, abort_timeout: 1s, queue: {length: 1000, wait: 20s}")
	s := start(t, options{files: files, sets: []string{`admin.listen=["unix:admin.sock"]`}})
	s.allow("crash.php", "spin.php", "crashes in a row", "php-cgi", "plugin")
	fronts := s.fronts(t)[:4]
	var a account
	stop := make(chan struct{})
	var clients sync.WaitGroup
	loop := func(pause time.Duration, do func(c *http.Client, f front, n int)) {
		c := newClient(t)
		clients.Go(func() {
			timer := time.NewTimer(pause)
			defer timer.Stop()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-timer.C:
				}
				do(c, fronts[n%len(fronts)], n)
				timer.Reset(pause/2 + rand.N(pause+1))
			}
		})
	}
	for range 4 {
		loop(time.Millisecond, func(c *http.Client, f front, n int) {
			got, err := do(c, "GET", f.url("/sleep.php?ms="+itoa(n%10)), nil)
			a.want(&a.ok, 200, got, err)
		})
	}
	loop(5*time.Millisecond, func(c *http.Client, f front, n int) {
		body := strings.Repeat("0123456789abcdef", n%2000)
		got, err := do(c, "POST", f.url("/echo.php"), strings.NewReader(body))
		a.want(&a.ok, 200, got, err)
	})
	// Fewer than make a crash loop, in which php-cgi is held back and other requests
	// wait: that has tests of its own.
	loop(1500*time.Millisecond, func(c *http.Client, f front, n int) {
		got, err := do(c, "GET", f.url("/crash.php?how="+[]string{"segv", "kill"}[n%2]), nil)
		a.want(&a.crashed, 502, got, err)
	})
	loop(700*time.Millisecond, func(c *http.Client, f front, n int) {
		got, err := do(c, "GET", f.url("/spin.php?ms=9000&how="+[]string{"spin", "sleep"}[n%2]), nil)
		a.want(&a.timedOut, 504, got, err)
	})
	// By HTTP and raw FastCGI: nginx would tell the server nothing of its clients.
	loop(60*time.Millisecond, func(_ *http.Client, _ front, n int) {
		network, address, send := "tcp", s.http, []byte(target("/spin.php?ms=300&how=write", "", ""))
		if n%2 == 0 {
			network, address, send = "unix", s.unix, request(1, true, nil, s.scriptParams("/spin.php", "QUERY_STRING", "ms=300&how=sleep")...)
		}
		c := dial(t, network, address)
		a.sent.Add(1)
		a.left.Add(1)
		if _, err := c.Write(send); err != nil {
			a.strange("%v", err)
		}
		_ = c.SetReadDeadline(time.Now().Add(rand.N(40 * time.Millisecond)))
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	})
	var plugin sync.Mutex // none is killed while a restart starts it
	loop(1200*time.Millisecond, func(*http.Client, front, int) {
		plugin.Lock()
		defer plugin.Unlock()
		if _, stderr, code := s.command(t, "restart", "app"); code != 0 {
			a.strange("restart: %s", stderr)
		}
	})
	loop(900*time.Millisecond, func(*http.Client, front, int) {
		if _, stderr, code := s.command(t, "reload"); code != 0 {
			a.strange("reload: %s", stderr)
		}
	})
	loop(3*time.Second, func(*http.Client, front, int) {
		plugin.Lock()
		defer plugin.Unlock()
		for _, p := range s.family() {
			if strings.HasSuffix(p.cmdline, "plugin php") {
				_ = unix.Kill(p.pid, unix.SIGKILL) // its children go on serving
				return
			}
		}
	})
	timer := time.NewTimer(length)
	<-timer.C
	close(stop)
	clients.Wait()

	t.Logf("%d requests: %d answered, %d crashed, %d timed out, %d left", a.sent.Load(), a.ok.Load(), a.crashed.Load(), a.timedOut.Load(), a.left.Load())
	if n := a.odd.Load(); n > 0 {
		t.Errorf("%d answers were not as expected, the first: %v", n, a.first.Load())
	}
	if a.ok.Load()+a.crashed.Load()+a.timedOut.Load()+a.left.Load() != a.sent.Load() {
		t.Error("the clients' account does not add up")
	}
	// The server's account is the same. A client that leaves may do so before its
	// request is read, or when it has just been answered.
	poll(t, 10*time.Second, "the server is at rest", func() bool { st := s.status(t); return st.Active == 0 && st.Queue == 0 })
	m := s.metrics(t)
	ended := map[string]int64{}
	for _, outcome := range []string{"done", "crashed", "timed_out", "aborted", "left", "refused", "expired", "failed"} {
		ended[outcome] = m[`tqserver_worker_requests_total{outcome="`+outcome+`",worker="app"}`]
	}
	t.Logf("the server: %v", ended)
	accepted := m[`tqserver_worker_requests_accepted_total{worker="app"}`]
	sum := int64(0)
	for _, n := range ended {
		sum += n
	}
	if accepted != sum {
		t.Errorf("%d accepted, %d ended", accepted, sum)
	}
	unread := a.sent.Load() - accepted
	if unread < 0 || unread > a.left.Load() || ended["crashed"] != a.crashed.Load() || ended["timed_out"] != a.timedOut.Load() ||
		ended["refused"]+ended["expired"]+ended["failed"] != 0 ||
		ended["done"]+ended["aborted"]+ended["left"] != a.ok.Load()+a.left.Load()-unread {
		t.Error("the server's account is another")
	}
	poll(t, 20*time.Second, "one tree of processes is left", func() bool { return len(s.phps()) == 1 })
	// Old generations drain for 15 s, and clients' connections are kept for a while.
	poll(t, 40*time.Second, "few goroutines are left", func() bool { return s.metrics(t)["go_goroutines"] < 150 })
}

// metrics of the admin module, by name with labels.
func (s *server) metrics(t *testing.T) map[string]int64 {
	t.Helper()
	c := dial(t, "unix", s.path("admin.sock"))
	got, err := exchange(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	if err != nil || got.StatusCode != 200 {
		t.Fatalf("%v %v", err, got.Response)
	}
	m := map[string]int64{}
	lines := bufio.NewScanner(strings.NewReader(got.body))
	for lines.Scan() {
		if i := strings.LastIndexByte(lines.Text(), ' '); i > 0 && lines.Text()[0] != '#' {
			if n, err := strconv.ParseFloat(lines.Text()[i+1:], 64); err == nil {
				m[lines.Text()[:i]] = int64(n)
			}
		}
	}
	return m
}
