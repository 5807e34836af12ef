package e2e

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// Processes are replaced under load, and no request notices.
func TestRetirementLosesNoRequest(t *testing.T) {
	t.Parallel()
	needPHP(t)
	for name, settings := range map[string]string{
		"max_requests": "max_requests: 50",
		"max_age":      "max_age: 150ms",
		"max_memory":   "max_memory: 64KiB", // below what any child has that served
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, options{files: appPool("max_workers: 4, start_workers: 4, " + settings)})
			fronts := s.fronts(t)
			before := s.onePHP(t)
			l := startLoad(t, 8, append(urls(fronts[:4], "/answer.php?body=x"), fronts[0].url("/echo.php"))...)
			l.more(t, 1500)
			poll(t, 15*time.Second, "every process of the start has been replaced", func() bool {
				now := s.onePHP(t)
				return now.parent.pid == before.parent.pid && !slices.ContainsFunc(now.children, func(p proc) bool {
					return slices.ContainsFunc(before.children, func(q proc) bool { return q.pid == p.pid })
				})
			})
			l.end(t)
			// How many each has served is no promise under load: one is replaced at a time.
			if st := s.status(t); st.Total > 4 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// A web server that keeps its connection sees nothing of it either.
func TestRetirementBehindOneKeptConnection(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: appPool("max_workers: 1, max_requests: 100")})
	c := dial(t, "unix", s.unix)
	pids := map[int]bool{}
	for i := range 1000 {
		if _, err := c.Write(request(1, true, nil, s.scriptParams("/srv.php")...)); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		a, err := readAnswer(c)
		if err != nil || !a.ended || a.status() != 200 {
			t.Fatalf("request %d: %+v, %v", i, a, err)
		}
		pids[decode[seen](t, a.body()).PID] = true
	}
	if len(pids) < 9 || len(pids) > 14 {
		t.Errorf("1000 requests were served by %d processes", len(pids))
	}
}

// The time-out ends the one process that runs the request, and the log says
// what it was doing.
func TestRequestTimeoutEndsTheProcessAndTellsItsStack(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: appPool("max_workers: 2, start_workers: 2, request_timeout: 1s")})
	s.allow("request_timeout")
	c := newClient(t)
	for how, frame := range map[string]string{"spin": "spin()", "sleep": "usleep()", "flock": "flock()"} {
		t.Run(how, func(t *testing.T) {
			mark := s.log.len()
			begun := time.Now()
			must(t, c, 504, "GET", "http://"+s.http+"/spin.php?ms=20000&how="+how, nil)
			if took := time.Since(begun); took < time.Second || took > 15*time.Second {
				t.Errorf("504 after %v", took)
			}
			line := s.log.wait(t, 5*time.Second, mark, "request_timeout", "spin.php", `"pid"`)
			for _, word := range []string{`"queued"`, `"ran"`, `"memory"`, "127.0.0.1", s.path("workers/app/public/spin.php"), frame} {
				if !line.has(word) {
					t.Errorf("no %s in %s", word, line.raw)
				}
			}
			must(t, c, 200, "GET", "http://"+s.http+"/answer.php", nil)
		})
	}
	// The last process is gone when the kernel says so.
	poll(t, 5*time.Second, "no process is active", func() bool { return s.status(t).Active == 0 })
}

func TestSlowLogTellsTheStackAndStopsNothing(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: appPool("max_workers: 2, slow_log: {threshold: 200ms}")})
	mark := s.log.len()
	a := must(t, newClient(t), 200, "GET", "http://"+s.http+"/spin.php?ms=900&how=spin", nil)
	if a.body != "done" {
		t.Errorf("%q", a.body)
	}
	line := s.log.wait(t, 5*time.Second, mark, "slow_log.threshold")
	if !line.has("spin()", "spin.php", `"pid"`) {
		t.Error(line.raw)
	}
	lines := 0
	for _, l := range s.log.all()[mark:] {
		if l.has("slow_log.threshold") {
			lines++
		}
	}
	if st := s.status(t); st.Slow != 1 || lines != 1 {
		t.Errorf("%d slow requests, %d lines", st.Slow, lines)
	}
}

// A script whose client has left is ended by its next output; one that ignores
// that is left alone for abort_timeout, then its process is ended. Nobody waits
// behind it.
func TestScriptOfAClientThatLeft(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: appPool("max_workers: 2, abort_timeout: 1s, request_timeout: 20s")})
	leave := func(mark, query string) {
		c := dial(t, "tcp", s.http)
		if _, err := io.WriteString(c, target("/spin.php?mark="+mark+query, "", "")); err != nil {
			t.Fatal(err)
		}
		poll(t, 10*time.Second, "the script runs", func() bool { return exists(s.data(mark + ".run")) })
		_ = c.Close()
	}
	rest := func(within time.Duration) {
		t.Helper()
		poll(t, within, "its process is free", func() bool { return s.status(t).Active == 0 })
	}
	t.Run("writes", func(t *testing.T) {
		mark := unique(t)
		leave(mark, "&how=write&ms=15000")
		rest(5 * time.Second)
		if exists(s.data(mark + ".done")) {
			t.Error("the script came to its end")
		}
	})
	t.Run("ignores it, and ends in time", func(t *testing.T) {
		mark := unique(t)
		leave(mark, "&how=write&abort&ms=400")
		must(t, newClient(t), 200, "GET", "http://"+s.http+"/answer.php", nil)
		poll(t, 5*time.Second, "the script came to its end", func() bool { return exists(s.data(mark + ".done")) })
		rest(3 * time.Second)
	})
	t.Run("ignores it for too long", func(t *testing.T) {
		mark, from := unique(t), s.log.len()
		leave(mark, "&how=sleep&abort&ms=15000")
		must(t, newClient(t), 200, "GET", "http://"+s.http+"/answer.php", nil)
		rest(5 * time.Second)
		if line := s.log.wait(t, time.Second, from, "abort_timeout"); !line.has(`"pid"`) || !strings.Contains(line.raw, "usleep()") {
			t.Error(line.raw)
		}
		if exists(s.data(mark + ".done")) {
			t.Error("the script came to its end")
		}
	})
}

// Each process that dies costs its request and nothing else; when all die, they
// are replaced at a bounded rate, and the worker is well again with the first
// request that is answered.
func TestCrashLoopIsBounded(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: appPool("max_workers: 4, queue: {length: 256, wait: 20s}")})
	s.allow("crash.php", "crashes in a row", "php-cgi")
	c := newClient(t)
	begun, requests := time.Now(), 0
	var waits []func() (answer, error)
	for time.Since(begun) < 3*time.Second {
		waits = waits[:0]
		for range 8 {
			waits = append(waits, later(c, "http://"+s.http+"/crash.php?how=segv"))
		}
		for _, wait := range waits {
			if a, err := wait(); err != nil || a.StatusCode != 502 {
				t.Fatalf("%v %v", err, a.Response)
			}
			requests++
		}
	}
	if rate := float64(requests) / time.Since(begun).Seconds(); rate > 15 {
		t.Errorf("%.1f processes died in a second", rate)
	}
	s.log.wait(t, time.Second, 0, "crashes in a row")
	must(t, c, 200, "GET", "http://"+s.http+"/answer.php", nil)
	begun = time.Now()
	for range 10 {
		must(t, c, 200, "GET", "http://"+s.http+"/answer.php", nil)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("ten requests after the recovery took %v", took)
	}
}
