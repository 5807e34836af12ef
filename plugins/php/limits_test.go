package php

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/process"
)

func TestLimitsHoldForEveryChild(t *testing.T) {
	t.Parallel()
	files, core, space, nice := uint64(64), uint64(0), uint64(2<<30), 3
	w := newWorker(t, ``, "files.php", `<?php
		$open = [];
		while (($f = @fopen(__FILE__, "r")) !== false) $open[] = $f;
		echo count($open);`,
		"nice.php", `<?php echo shell_exec("ulimit -n; nice");`,
		"pid.php", pidScript)
	w.Limits = process.Limits{Files: &files, Core: &core, AddressSpace: &space, Nice: &nice}
	h := start(t, w)
	check := func(pid int) {
		t.Helper()
		for number, want := range map[int]uint64{unix.RLIMIT_NOFILE: files, unix.RLIMIT_CORE: core, unix.RLIMIT_AS: space} {
			var got unix.Rlimit
			if err := unix.Prlimit(pid, number, nil, &got); err != nil || got.Cur != want || got.Max != want {
				t.Errorf("limit %d of %d: %+v, %v", number, pid, got, err)
			}
		}
		if n, err := unix.Getpriority(unix.PRIO_PROCESS, pid); err != nil || 20-n != nice {
			t.Errorf("nice of %d: %d, %v", pid, 20-n, err)
		}
	}
	all := h.inspect(sdk.Inspection{})
	if len(all) != 4+spare {
		t.Fatalf("%d children", len(all))
	}
	for _, p := range all {
		check(p.PID)
	}
	if n := atoi(t, h.get("files.php")); n < 40 || n >= 64 {
		t.Errorf("a script opened %d files", n)
	}
	if got := strings.Fields(h.get("nice.php")); len(got) != 2 || got[0] != "64" || got[1] != "3" {
		t.Errorf("what a script starts has %q", got)
	}
	// A replacement has them too.
	c := h.wire(h.endpoint())
	old := atoi(t, h.ask(c.Conn, "pid.php"))
	if _, err := h.retire(sdk.Retirement{Connection: c.id}); err != nil {
		t.Fatal(err)
	}
	parent := h.endpoint().ProcessGroups[0]
	h.eventually("a replacement", func() bool {
		_, there := childrenOf(parent)[old]
		return !there && len(childrenOf(parent)) == 4+spare
	})
	for pid := range childrenOf(parent) {
		check(pid)
	}
}

func TestLimitThatMayNotBeSetSaysSo(t *testing.T) {
	t.Parallel()
	needPHP(t)
	w := newWorker(t, ``)
	files := ^uint64(0) - 1 // above fs.nr_open, whoever asks
	w.Limits.Files = &files
	var last sdk.State
	err := New(slogDiscard()).Run(t.Context(), w, func(s sdk.State) { last = s })
	if err == nil || !strings.Contains(err.Error(), "limit files of process") || !strings.Contains(err.Error(), "LimitNOFILE") || last.Kind != sdk.Failed {
		t.Errorf("%v, %+v", err, last)
	}
	h := &host{t: t, worker: w, log: &logBook{}}
	if left := h.processes(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Memory runs out for one script, by address space: the others go on.
func TestAddressSpaceEndsTheScriptAlone(t *testing.T) {
	t.Parallel()
	space := uint64(600 << 20)
	w := newWorker(t, `{"settings": {"memory_limit": "-1", "opcache.enable": "0", "display_errors": "1"}}`, "pid.php", pidScript,
		"oom.php", `<?php $a = []; while (true) $a[] = str_repeat("x", 1 << 20);`)
	w.Limits.AddressSpace = &space
	h := start(t, w)
	other := h.wire(h.endpoint())
	pid := h.ask(other.Conn, "pid.php")
	c := h.wire(h.endpoint())
	mine := h.ask(c.Conn, "pid.php")
	body, err := h.try(c.Conn, "oom.php")
	if err == nil && !strings.Contains(body, "Out of memory") {
		t.Errorf("%q", body)
	}
	if got := h.ask(other.Conn, "pid.php"); got != pid {
		t.Errorf("%s answers, not %s", got, pid)
	}
	// PHP says "Out of memory" and exits with 1 (Zend/zend_alloc.c); from 8.5 on it is an
	// error of the script alone.
	if strings.Contains(body, "Fatal error") {
		if got := h.ask(c.Conn, "pid.php"); got != mine {
			t.Errorf("%s answers, not %s", got, mine)
		}
		return
	}
	h.eventually("the end of the child", func() bool { return syscall.Kill(atoi(t, mine), 0) != nil })
	h.eventually("the log", func() bool { return h.log.find("php-cgi child") != nil })
	if h.get("pid.php") == "" {
		t.Error("no other child serves")
	}
}

func TestChildrenDieBeforeTheirParentOfMemory(t *testing.T) {
	t.Parallel()
	h := start(t, newWorker(t, ``))
	read := func(pid int) int {
		b, err := os.ReadFile(procPath(pid, "oom_score_adj"))
		if err != nil {
			t.Fatal(err)
		}
		return atoi(t, string(b))
	}
	parent := h.endpoint().ProcessGroups[0]
	for pid := range childrenOf(parent) {
		if got, want := read(pid), min(read(parent)+oomMore, 1000); got != want {
			t.Errorf("child %d: %d, want %d", pid, got, want)
		}
	}
}
