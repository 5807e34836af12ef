package php

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/sdk"
)

func TestLedger(t *testing.T) {
	l := ledger{window: 10 * time.Second, size: 5, emergency: emergency{crashes: 3, within: time.Minute}}
	now := time.Unix(1000, 0)
	enter := func(after time.Duration, crash bool) entry {
		now = now.Add(after)
		return l.enter(now, crash)
	}
	// Two crashes, a third too late, then one that makes three in a minute.
	for i, c := range []struct {
		after time.Duration
		crash bool
		want  bool
	}{{0, true, false}, {time.Second, false, false}, {30 * time.Second, true, false}, {31 * time.Second, true, false}, {time.Second, false, false}, {time.Second, true, true}, {time.Second, true, true}, {2 * time.Minute, true, false}} {
		if e := enter(c.after, c.crash); e.emergency != c.want || e.ill != "" || e.hold != 0 {
			t.Errorf("death %d: %+v", i, e)
		}
	}
	l = ledger{window: 10 * time.Second, size: 5}
	var holds []time.Duration
	for i := range 60 {
		e := enter(100*time.Millisecond, true)
		if (e.ill != "") != (i == manyDeaths-1) || e.storm != (i >= tooManyDeaths-1) || e.emergency {
			t.Errorf("death %d: %+v", i, e)
		}
		if e.hold > 0 {
			holds = append(holds, e.hold)
		}
	}
	if !slices.Equal(holds[:3], []time.Duration{holdFirst, holdLeast, holdLeast}) || holds[len(holds)-1] != holdLeast {
		t.Errorf("waits %v", holds)
	}
	if len(l.deaths) > tooManyDeaths {
		t.Errorf("%d deaths are remembered", len(l.deaths))
	}
	l.well()
	if e := enter(0, true); e != (entry{}) {
		t.Errorf("after it was well: %+v", e)
	}
	// A hundred children may be forked ten times in a second, too.
	l = ledger{window: time.Hour, size: 100}
	for range 30 {
		if e := enter(0, true); e.hold > 0 {
			holds = append(holds, e.hold)
		}
	}
	if last := holds[len(holds)-1]; last != holdMost {
		t.Errorf("the longest wait is %s", last)
	}
}

func TestEndingsThatAreCrashes(t *testing.T) {
	for status, crash := range map[unix.WaitStatus]bool{
		unix.WaitStatus(unix.SIGSEGV): true, unix.WaitStatus(unix.SIGABRT) | 0x80: true, unix.WaitStatus(unix.SIGBUS): true, unix.WaitStatus(unix.SIGKILL): true,
		0: false, 255 << 8: false, unix.WaitStatus(unix.SIGTERM): false, unix.WaitStatus(unix.SIGINT): false,
	} {
		if got := (ending{status: status, known: true}).crash(); got != crash {
			t.Errorf("%v: %v", status, got)
		}
	}
	if !(ending{}).crash() {
		t.Error("what the kernel does not tell is no crash")
	}
}

func TestReplacementsAreSpaced(t *testing.T) {
	var r replacements
	now := time.Unix(1000, 0)
	if !r.due(now) || r.due(now) || r.due(now.Add(20*time.Millisecond)) || !r.due(now.Add(time.Second)) || !r.due(now.Add(5*time.Minute)) || r.row != 1 {
		t.Errorf("%+v", r)
	}
}

// crashScript kills its own process, as a bug of an extension would.
const crashScript = `<?php exec("kill -SEGV " . getmypid()); for (;;) usleep(1000);`

func TestEmergencyReplacesTheTreeBesideTheOldOne(t *testing.T) {
	t.Parallel()
	h := start(t, newWorker(t, `{"emergency": {"crashes": 3, "within": "1m"}, "settings": {"opcache.enable": "1", "opcache.file_update_protection": "0"}}`,
		"pid.php", pidScript, "crash.php", crashScript,
		"op.php", `<?php echo opcache_get_status()["opcache_statistics"]["misses"];`))
	old := h.endpoint()
	busy := h.wire(old) // a request that goes on meanwhile
	h.ask(busy.Conn, "pid.php")
	for range 2 {
		if _, err := h.try(h.dial(h.endpoint()), "crash.php"); err == nil {
			t.Error("a crash is an answer")
		}
	}
	// An orderly end and a retirement are no crashes.
	gone := h.wire(old)
	h.ask(gone.Conn, "pid.php")
	if _, err := h.retire(sdk.Retirement{Connection: gone.id}); err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	h.eventually("the deaths to be counted", func() bool { return h.log.count("php-cgi child") >= 3 })
	if now := h.endpoint(); now.ID != old.ID {
		t.Fatalf("replaced after two crashes by %s", now.ID)
	}
	_, _ = h.try(h.dial(h.endpoint()), "crash.php")
	h.eventually("a new tree", func() bool { return h.endpoint().ID != old.ID })
	r := h.log.find("emergency:")
	if r == nil || r["level"] != "ERROR" || r["crashes"] != float64(3) {
		t.Errorf("logged %v", r)
	}
	if s := h.last(sdk.Degraded); !strings.Contains(s.Reason, "emergency") || len(s.ProcessGroups) != 2 {
		t.Errorf("reported %+v", s)
	}
	if ready := h.last(sdk.Ready); len(ready.ProcessGroups) != 2 {
		t.Errorf("groups %v", ready.ProcessGroups)
	}
	h.ask(busy.Conn, "pid.php") // the old one serves until Release
	if got := atoi(t, h.get("op.php")); got > 2 {
		t.Errorf("%d misses in an opcache that should be fresh", got)
	}
	_ = busy.Close()
	h.plugin.Release([]string{old.ID})
	h.eventually("the old tree to go", func() bool { return len(h.processes()) == 1+4+spare })
}

func TestEmergencyThatCannotStartKeepsTheOldTree(t *testing.T) {
	t.Parallel()
	w := newWorker(t, `{"emergency": {"crashes": 1, "within": "1m"}}`, "pid.php", pidScript, "crash.php", crashScript)
	h := start(t, w)
	old := h.endpoint()
	// The next tree cannot have its socket.
	if err := unix.Mkdir(w.RuntimeFolder+"/php-2.sock", 0o700); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Rmdir(w.RuntimeFolder + "/php-2.sock") }()
	_, _ = h.try(h.dial(old), "crash.php")
	h.eventually("the failure", func() bool { return h.log.find("cannot be started beside") != nil })
	if h.get("pid.php") == "" || h.endpoint().ID != old.ID {
		t.Error("the old tree does not serve")
	}
	if s := h.last(sdk.Degraded); !strings.Contains(s.Reason, "php-2.sock") {
		t.Errorf("reported %+v", s)
	}
	_ = unix.Rmdir(w.RuntimeFolder + "/php-2.sock")
	h.eventually("the next crash to replace it", func() bool {
		_, _ = h.try(h.dial(old), "crash.php")
		return h.endpoint().ID != old.ID
	})
}

func TestCrashLoopIsHeldBackAndRecovers(t *testing.T) {
	t.Parallel()
	w := newWorker(t, ``, "pid.php", pidScript, "crash.php", crashScript)
	w.MaxWorkers = 2
	const window = 2 * time.Second
	h := startWith(t, w, window)
	endpoint := h.endpoint()
	parent := endpoint.ProcessGroups[0]
	// What does not crash goes on, however many others do.
	long := h.wire(endpoint)
	pid := h.ask(long.Conn, "pid.php")
	begun := time.Now()
	h.eventually("the parent to be stopped", func() bool {
		for child := range childrenOf(parent) {
			if child != atoi(t, pid) {
				_ = syscall.Kill(child, syscall.SIGSEGV)
			}
		}
		return strings.Contains(statusOf(t, parent), "State:\tT")
	})
	if s := h.last(sdk.Degraded); !strings.Contains(s.Reason, "php-cgi children ended within 2s") {
		t.Errorf("reported %+v", s)
	}
	if got := h.ask(long.Conn, "pid.php"); got != pid {
		t.Errorf("%s answers, not %s", got, pid)
	}
	for i := 0; time.Since(begun) < 3*time.Second; i++ {
		for child := range childrenOf(parent) {
			if child != atoi(t, pid) {
				_ = syscall.Kill(child, syscall.SIGSEGV)
			}
		}
		h.eventually("the next round", func() bool { return len(childrenOf(parent)) > 1 || time.Since(begun) >= 3*time.Second })
	}
	// 10 until it is held back, then two in each of 250, 500, 1000 and 2000 ms,
	// and those that were forked before the signal came. Without it: hundreds.
	if n := h.log.count("php-cgi child"); n > 40 {
		t.Errorf("%d deaths in %s", n, time.Since(begun))
	}
	h.eventually("to be well again", func() bool {
		ready := h.all(sdk.Ready)
		return len(ready) == 2 && ready[1].Endpoints[0].ID == endpoint.ID
	})
	h.eventually("all children", func() bool { return len(childrenOf(parent)) == 2+spare })
	if h.log.find("well again") == nil {
		t.Error("not logged")
	}
	h.get("pid.php")
}

// A stop while php-cgi is held back is an orderly one.
func TestStopWhileHeldBack(t *testing.T) {
	t.Parallel()
	w := newWorker(t, ``)
	h := start(t, w)
	parent := h.endpoint().ProcessGroups[0]
	h.eventually("the parent to be stopped", func() bool {
		for child := range childrenOf(parent) {
			_ = syscall.Kill(child, syscall.SIGSEGV)
		}
		return strings.Contains(statusOf(t, parent), "State:\tT")
	})
	begun := time.Now()
	h.stop(40 * time.Second)
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}
