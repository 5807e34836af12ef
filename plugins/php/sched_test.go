package php

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Parent and children yield to the server that wakes them.
func TestProcessesYieldToTheServer(t *testing.T) {
	h := start(t, newWorker(t, `{}`, "hello.php", `<?php echo "hi";`))
	if got := h.get("hello.php"); got != "hi" {
		t.Fatal(got)
	}
	pids := h.processes()
	if len(pids) < 2 {
		t.Fatalf("processes %v", pids)
	}
	for _, pid := range pids {
		attr, err := unix.SchedGetAttr(pid, 0)
		if err != nil || attr.Policy != unix.SCHED_BATCH {
			t.Errorf("process %d has policy %+v, %v", pid, attr, err)
		}
	}
}
