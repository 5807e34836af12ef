package php

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lookEvery is how often a tree that ends looks for children that wait. A child
// that has not moved between two looks waits for somebody.
const lookEvery = 250 * time.Millisecond

// waiting is what a child waits for: the system call, its descriptor, and how
// often it had gone to sleep before.
type waiting struct {
	call   uint64
	fd     uint64
	sleeps string
}

// accepts says that it waits for a connection.
func (w waiting) accepts() bool { return w.call == unix.SYS_ACCEPT || w.call == unix.SYS_ACCEPT4 }

// waitOf reads what a process waits for; false when it runs, or may not be seen.
func waitOf(pid int) (waiting, bool) {
	text, err := os.ReadFile(procPath(pid, "syscall"))
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return waiting{}, false // "running"
	}
	call, err1 := strconv.ParseUint(string(fields[0]), 10, 64)
	fd, err2 := strconv.ParseUint(string(fields[1]), 0, 64)
	status, err3 := os.ReadFile(procPath(pid, "status"))
	if err1 != nil || err2 != nil || err3 != nil {
		return waiting{}, false
	}
	_, rest, _ := bytes.Cut(status, []byte("\nvoluntary_ctxt_switches:"))
	sleeps, _, _ := bytes.Cut(rest, []byte("\n"))
	return waiting{call, fd, string(bytes.TrimSpace(sleeps))}, true
}

// nudge ends, while a tree ends, the children that SIGTERM does not: one that
// waits for the next request on a connection its client keeps reads on whatever
// comes (safe_read of main/fastcgi.c), and one that got the signal just before it
// went to accept does not know of it. The pool has given up its connections by
// now and sends no half requests: who reads from a connection without moving has
// nothing to finish.
func (t *tree) nudge(ctx context.Context) {
	before := map[int]waiting{}
	timer := time.NewTicker(lookEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := map[int]waiting{}
		for _, pid := range t.group.Members() {
			if pid == t.group.ID {
				continue
			}
			w, ok := waitOf(pid)
			if !ok {
				continue
			}
			now[pid] = w
			switch {
			case before[pid] != w:
			case w.call == unix.SYS_READ && t.serves(pid, w.fd):
				_ = syscall.Kill(pid, syscall.SIGKILL)
			case w.accepts():
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
		}
		before = now
	}
}

// endIdle kills the children that wait for a connection, of which none comes any more:
// to end in order, each would tidy up all of PHP for itself. The parent is stopped
// meanwhile, so that it forks no others, and goes on to its own end.
func (t *tree) endIdle() {
	if t.children.signal(syscall.SIGSTOP) != nil {
		return
	}
	for _, pid := range t.children.list() {
		if w, ok := waitOf(pid); ok && w.accepts() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = t.children.signal(syscall.SIGTERM)
	_ = t.children.signal(syscall.SIGCONT)
}

// serves says whether a descriptor of a child is a connection to the tree's socket.
func (t *tree) serves(pid int, fd uint64) bool {
	inode, ok := socketAt(procPath(pid, "fd/"+strconv.FormatUint(fd, 10)))
	if !ok {
		return false
	}
	sockets, err := os.ReadFile(procPath(pid, "net/unix"))
	if err != nil {
		return false
	}
	number := []byte(strconv.FormatUint(inode, 10))
	for line := range bytes.Lines(sockets) {
		// Num RefCount Protocol Flags Type St Inode Path
		if f := bytes.Fields(line); len(f) == 8 && bytes.Equal(f[6], number) {
			return string(f[7]) == t.socket
		}
	}
	return false
}
