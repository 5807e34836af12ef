package php

import "golang.org/x/sys/unix"

// yieldToServer has the kernel treat php-cgi, and the children it will fork, as
// SCHED_BATCH (sched(7)): one that is woken by a request does not push the
// server off its processor in the midst of the write that woke it. Its share of
// the processors stays the same. It needs no rights; a kernel or sandbox that
// refuses leaves PHP as it was.
func yieldToServer(pid int) {
	attr, err := unix.SchedGetAttr(pid, 0)
	if err != nil || attr.Policy != unix.SCHED_NORMAL {
		return // somebody has decided about it already
	}
	attr.Policy = unix.SCHED_BATCH
	_ = unix.SchedSetAttr(pid, attr, 0)
}
