package e2e

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// appPool is worker app with these settings of its pool, and a status page.
func appPool(pool string) map[string]string {
	return map[string]string{"workers/app/config/worker.yaml": "path: /\ntype: php\ndocument_root: public\nphp:\n  pool: {status_path: /status, ping_path: /ping, " + pool + "}\n"}
}

// fpmStatus is PHP-FPM's status page as JSON.
type fpmStatus struct {
	Pool       string       `json:"pool"`
	Manager    string       `json:"process manager"`
	Accepted   int          `json:"accepted conn"`
	Queue      int          `json:"listen queue"`
	QueueMost  int          `json:"max listen queue"`
	QueueLen   int          `json:"listen queue len"`
	Idle       int          `json:"idle processes"`
	Active     int          `json:"active processes"`
	Total      int          `json:"total processes"`
	ActiveMost int          `json:"max active processes"`
	Reached    int          `json:"max children reached"`
	Slow       int          `json:"slow requests"`
	Processes  []fpmProcess `json:"processes"`
}

type fpmProcess struct {
	PID      int    `json:"pid"`
	State    string `json:"state"`
	Requests int    `json:"requests"`
	URI      string `json:"request uri"`
	Script   string `json:"script"`

	CPU    float64 `json:"last request cpu"`
	Memory int     `json:"last request memory"`
}

// status asks the worker's own status page, which no child answers.
func (s *server) status(t *testing.T) fpmStatus {
	t.Helper()
	c := newClient(t)
	defer c.CloseIdleConnections()
	return decode[fpmStatus](t, must(t, c, 200, "GET", "http://"+s.http+"/status?json&full", nil).body)
}

// privateMemory is what a process has for itself, in bytes.
func privateMemory(pid int) (sum int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], "Private_") {
			n, _ := strconv.Atoi(f[1])
			sum += n << 10
		}
	}
	return sum
}

// A burst on an idle pool is served by as many processes as it has, at once;
// afterwards those that nobody needs are ended and their memory is given back.
func TestDynamicServesABurstAndShrinks(t *testing.T) {
	t.Parallel()
	needPHP(t)
	const most = 8
	s := start(t, options{files: appPool("max_workers: 8, min_workers: 1, start_workers: 1, idle_timeout: 700ms")})
	c := newClient(t)
	must(t, c, 200, "GET", "http://"+s.http+"/answer.php", nil)
	gate := unique(t)
	begun := time.Now()
	var waits []func() (answer, error)
	for i := range most {
		waits = append(waits, later(c, fmt.Sprintf("http://%s/gate.php?name=%s%d", s.http, gate, i)))
	}
	for i := range most {
		s.atGate(t, gate+itoa(i))
	}
	t.Logf("the last of %d processes serves after %v", most, time.Since(begun))
	if st := s.status(t); st.Active != most || st.Idle != 0 || st.ActiveMost < most || st.Manager != "dynamic" || len(st.Processes) != most {
		t.Errorf("in the burst: %+v", st)
	}
	for i := range most {
		s.open(t, gate+itoa(i))
	}
	for _, wait := range waits {
		if a, err := wait(); err != nil || a.StatusCode != 200 {
			t.Errorf("%v %v", err, a.Response)
		}
	}
	grown := s.onePHP(t)
	poll(t, 10*time.Second, "one process is left", func() bool { st := s.status(t); return st.Total == 1 && st.Idle == 1 })
	used := 0
	for _, child := range s.onePHP(t).children {
		if slices.ContainsFunc(grown.children, func(p proc) bool { return p.pid == child.pid }) && privateMemory(child.pid) > 200<<10 {
			used++
		}
	}
	if used > 1 {
		t.Errorf("%d children kept the memory of the burst", used)
	}
	must(t, c, 200, "GET", "http://"+s.http+"/answer.php", nil)
}

// At rest an ondemand worker has no process at all, not even its plugin.
func TestOndemandRestsAndWakes(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: appPool("manager: ondemand, max_workers: 4, idle_timeout: 500ms")})
	c := newClient(t)
	resting := func() bool {
		return !slices.ContainsFunc(s.family(), func(p proc) bool {
			return strings.Contains(p.cmdline, "plugin php") || strings.HasPrefix(p.comm, "php-cgi")
		})
	}
	// One plugin process has checked the settings, and ends soon.
	poll(t, 10*time.Second, "no process of the worker is there before the first request", resting)
	for round := range 3 {
		begun := time.Now()
		must(t, c, 200, "GET", "http://"+s.http+"/answer.php", nil)
		t.Logf("answered %v after the request (a quiet machine: below 250ms)", time.Since(begun))
		if round == 2 {
			break
		}
		poll(t, 10*time.Second, "no process of the worker is left", resting)
		must(t, c, 200, "GET", "http://"+s.http+"/ping", nil) // answered without waking anybody
		if !resting() {
			t.Error("the ping page woke the worker")
		}
	}
	// While it falls asleep and wakes, no request is lost.
	l := startLoad(t, 1, "http://"+s.http+"/answer.php")
	for range 3 {
		l.more(t, 20)
	}
	l.end(t)
}

// PHP-FPM's children are held by the connections that web servers keep; here
// these hold none.
func TestIdleKeptConnectionsHoldNoChild(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{
		files: appPool("max_workers: 2"),
		sets:  []string{"fastcgi.max_connections=2000"},
	})
	const kept = 1000
	for i := range kept {
		c := dial(t, "unix", s.unix)
		if i%100 == 0 { // some have served; all of them stay open
			if _, err := c.Write(request(1, true, nil, s.scriptParams("/answer.php")...)); err != nil {
				t.Fatal(err)
			}
			if a, err := readAnswer(c); err != nil || !a.ended {
				t.Fatalf("%v %v", a, err)
			}
		}
	}
	if st := s.status(t); st.Active != 0 || st.Total > 2 {
		t.Errorf("%+v", st)
	}
	must(t, newClient(t), 200, "GET", "http://"+s.http+"/answer.php", nil)
}

func TestQueueTimeIsGivenToTheScript(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: appPool("max_workers: 1")})
	for _, f := range s.fronts(t)[:4] {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			at := func(a answer) float64 {
				n, err := strconv.ParseFloat(decode[seen](t, a.body).server("REQUEST_QUEUE_TIME"), 64)
				if err != nil {
					t.Error(err)
				}
				return n
			}
			if n := at(must(t, c, 200, "GET", f.url("/srv.php"), nil)); n > 0.5 {
				t.Errorf("waited %v s for an idle process", n)
			}
			gate := unique(t)
			running := later(c, f.url("/gate.php?name="+gate))
			s.atGate(t, gate)
			waiting := later(c, f.url("/srv.php"))
			poll(t, 5*time.Second, "a request waits", func() bool { return s.status(t).Queue == 1 })
			_ = becomes(200*time.Millisecond, func() bool { return false })
			s.open(t, gate)
			if _, err := running(); err != nil {
				t.Error(err)
			}
			a, err := waiting()
			if err != nil || a.StatusCode != http.StatusOK {
				t.Fatalf("%v %v", err, a.Response)
			}
			if n := at(a); n < 0.2 || n > 10 {
				t.Errorf("waited %v s", n)
			}
		})
	}
	if st := s.status(t); st.QueueMost < 1 || st.Reached < 1 || st.QueueLen != 256 {
		t.Errorf("%+v", st)
	}
}

// What a request used is told as soon as somebody looks.
func TestStatusTellsWhatTheLastRequestUsed(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: appPool("max_workers: 1")})
	c := newClient(t)
	last := func(path string) (p fpmProcess) {
		must(t, c, 200, "GET", "http://"+s.http+path, nil)
		poll(t, 10*time.Second, "the process is idle again", func() bool {
			status := s.status(t)
			if len(status.Processes) == 1 {
				p = status.Processes[0]
			}
			return p.State == "Idle" && p.URI == path
		})
		return p
	}
	if p := last("/answer.php"); p.Memory < 100<<10 || p.CPU != 0 {
		t.Errorf("before anybody looked: %+v", p)
	}
	busy, asleep := last("/spin.php?ms=300"), last("/spin.php?ms=300&how=sleep")
	if busy.CPU <= asleep.CPU || busy.CPU > 110 || asleep.CPU <= 0 || asleep.Memory < 100<<10 {
		t.Errorf("%+v\n%+v", busy, asleep)
	}
}
