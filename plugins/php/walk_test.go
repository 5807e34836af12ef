package php

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/sdk"
)

// The diagram of docs/guide/php-children.md, state by state.
func TestWalkOfAChild(t *testing.T) {
	t.Parallel()
	w := newWorker(t, `{"emergency": {"crashes": 2, "within": "1m"}}`, "pid.php", pidScript, "sleep.php", "<?php sleep(60);", "crash.php", crashScript)
	w.MaxWorkers = 1
	h := start(t, w)
	first := h.endpoint()
	parent := first.ProcessGroups[0]
	serving := func(c wire) sdk.Process {
		t.Helper()
		found := h.inspect(sdk.Inspection{Connections: []sdk.Connection{c.id}, Stack: true})
		if len(found) != 1 {
			t.Fatalf("%+v", found)
		}
		return found[0]
	}
	// unused: all are there, the spare one among them, and serve nobody.
	for _, p := range h.inspect(sdk.Inspection{}) {
		if p.Connection != 0 {
			t.Errorf("unused: %+v", p)
		}
	}
	// idle: connected, between two requests.
	c := h.wire(first)
	pid := atoi(t, h.ask(c.Conn, "pid.php"))
	if p := serving(c); p.PID != pid || len(p.Stack) > 0 || p.Unread != errNoScript.Error() {
		t.Errorf("idle: %+v", p)
	}
	// busy
	over := h.run(c.Conn, "sleep.php")
	h.stackOf(c, func(p sdk.Process) bool {
		return p.PID == pid && len(p.Stack) == 2 && strings.HasPrefix(p.Stack[0], "sleep() ")
	})
	// retiring, dead, replaced
	if told, err := h.retire(sdk.Retirement{Connection: c.id, Busy: true, Reason: "request_timeout"}); err != nil || told.PID != pid || len(told.Stack) != 2 {
		t.Errorf("retiring: %+v, %v", told, err)
	}
	if <-over == nil {
		t.Error("the request of a retired child came to an end")
	}
	h.eventually("replaced", func() bool {
		_, there := childrenOf(parent)[pid]
		return !there && len(childrenOf(parent)) == 1+spare
	})
	// crashed, replaced
	if _, err := h.try(h.dial(first), "crash.php"); err == nil {
		t.Error("a crash is an answer")
	}
	h.eventually("replaced after a crash", func() bool {
		return h.log.count("php-cgi starts another child") == 1 && len(childrenOf(parent)) == 1+spare
	})
	if h.endpoint().ID != first.ID {
		t.Fatal("a retirement counts as a crash")
	}
	// emergency: the second crash replaces the tree.
	_, _ = h.try(h.dial(first), "crash.php")
	h.eventually("another tree", func() bool { return h.endpoint().ID != first.ID })
	h.plugin.Release([]string{first.ID})
	h.eventually("the first one's end", func() bool { return len(h.processes()) == 1+1+spare })
}

// What scripts leave behind delays no answer, and ends with the worker.
func TestProcessesThatScriptsLeave(t *testing.T) {
	t.Parallel()
	h := start(t, newWorker(t, ``, "fork.php",
		`<?php for ($i = 0; $i < 5; $i++) { exec("sleep 62 </dev/null >/dev/null 2>&1 & echo $!", $pids); } echo implode(" ", $pids);`))
	begun := time.Now()
	var left []int
	for range 3 {
		c := h.wire(h.endpoint())
		for pid := range strings.FieldsSeq(h.ask(c.Conn, "fork.php")) {
			left = append(left, atoi(t, pid))
		}
		if _, err := h.retire(sdk.Retirement{Connection: c.id, Reason: "max_requests"}); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	if took := time.Since(begun); took > 30*time.Second { // they sleep for 62
		t.Errorf("took %s", took)
	}
	if len(left) != 15 {
		t.Fatalf("%d processes", len(left))
	}
	h.stop(20 * time.Second)
	for _, pid := range left {
		h.eventually(fmt.Sprintf("the end of %d", pid), func() bool {
			b, err := os.ReadFile(procPath(pid, "stat"))
			return err != nil || strings.Contains(string(b), ") Z ")
		})
	}
}

// php-cgi's parent exits when it cannot fork (sapi/cgi/cgi_main.c); another
// tree takes its place, and the children left serve until then.
func TestForkThatFails(t *testing.T) {
	t.Parallel()
	group := "/sys/fs/cgroup/pids/tq-test-" + strconv.Itoa(os.Getpid())
	if err := os.Mkdir(group, 0o700); err != nil {
		t.Skipf("no pids controller of cgroup v1 that may be written: %v", err)
	}
	h := start(t, newWorker(t, ``, "pid.php", pidScript))
	t.Cleanup(func() {
		h.stop(10 * time.Second)
		h.eventually("the group to be empty", func() bool { return os.Remove(group) == nil })
	})
	old := h.endpoint()
	parent := old.ProcessGroups[0]
	for file, text := range map[string]string{"/cgroup.procs": strconv.Itoa(parent), "/pids.max": "1"} {
		if err := os.WriteFile(group+file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := h.wire(old)
	h.ask(c.Conn, "pid.php")
	for pid := range childrenOf(parent) { // one that does not serve c
		if p := h.inspect(sdk.Inspection{Connections: []sdk.Connection{c.id}}); len(p) == 1 && p[0].PID != pid {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	h.eventually("another tree", func() bool { return h.endpoint().ID != old.ID })
	h.ask(c.Conn, "pid.php")
	h.get("pid.php")
	_ = c.Close()
	h.plugin.Release([]string{old.ID})
	h.eventually("the old children to go", func() bool { return len(h.processes()) == 1+4+spare })
}
