package php

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pidfd watches a process that is not our child.
type pidfd struct {
	f   *os.File
	pid int
}

// openPidfd fails on kernels before 5.3 and for a process that is gone.
func openPidfd(pid int) (*pidfd, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	// In non-blocking mode Go's poller takes it: waiting costs no thread.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &pidfd{f: os.NewFile(uintptr(fd), fmt.Sprintf("pidfd of %d", pid)), pid: pid}, nil
}

// wait returns how the process ended, when it has; ok is false when Close came
// first.
func (p *pidfd) wait() (how ending, ok bool) {
	conn, err := p.f.SyscallConn()
	if err != nil {
		return how, false
	}
	err = conn.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		if n == 0 && err == nil {
			return false
		}
		if how = zombieEnding(p.pid); !how.known {
			how = askEnding(fd)
		}
		return true
	})
	return how, err == nil
}

func (p *pidfd) close() { _ = p.f.Close() }

// ending is how a process ended: a wait status, when the kernel told it.
type ending struct {
	status unix.WaitStatus
	known  bool
}

// crash says that the process did not want to end, nor was asked to by one of
// the signals that end php-cgi in an orderly way. Where the kernel tells
// nothing, all are crashes: no child ends by itself between two requests.
func (e ending) crash() bool {
	if !e.known {
		return true
	}
	if !e.status.Signaled() {
		return false
	}
	orderly := []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGPROF}
	return !slices.Contains(orderly, e.status.Signal())
}

// String says how, and what that means for php-cgi.
func (e ending) String() string {
	switch {
	case !e.known:
		return "ended"
	case e.status.Signaled() && e.status.Signal() == unix.SIGKILL:
		return "was killed by SIGKILL, by someone or by the kernel for want of memory"
	case e.status.Signaled():
		s := "was killed by " + unix.SignalName(e.status.Signal())
		if e.status.CoreDump() || e.status.Signal() == unix.SIGSEGV || e.status.Signal() == unix.SIGBUS || e.status.Signal() == unix.SIGABRT {
			s += ", PHP or an extension crashed"
		}
		return s
	default:
		return fmt.Sprintf("ended by itself with status %d", e.status.ExitStatus())
	}
}

// zombieEnding reads how a process ended that its parent has not collected yet,
// which php-cgi does within microseconds, unless it is stopped
// (proc_pid_stat(5), exit_code).
func zombieEnding(pid int) ending {
	b, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return ending{}
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 50 || f[0][0] != 'Z' {
		return ending{}
	}
	code, err := strconv.Atoi(string(f[49]))
	return ending{status: unix.WaitStatus(code), known: err == nil}
}

// pidfdInfo is struct pidfd_info of linux/pidfd.h, its first version.
type pidfdInfo struct {
	mask, cgroup             uint64
	pid, tgid, ppid          uint32
	ruid, rgid, euid, egid   uint32
	suid, sgid, fsuid, fsgid uint32
	exitCode                 int32
}

// askEnding asks how a process ended, which Linux tells since 6.15 and only
// after its parent has collected it: php-cgi's does at once.
func askEnding(fd uintptr) ending {
	const (
		infoExit = 1 << 3
		getInfo  = 3<<30 | unsafe.Sizeof(pidfdInfo{})<<16 | 0xFF<<8 | 11 // _IOWR(0xFF, 11, struct pidfd_info)
	)
	for try := range 2 {
		info := pidfdInfo{mask: infoExit}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, getInfo, uintptr(unsafe.Pointer(&info)))
		if errno == 0 && info.mask&infoExit != 0 {
			return ending{status: unix.WaitStatus(info.exitCode), known: true}
		}
		if try > 0 || (errno != 0 && errno != unix.ESRCH) {
			break
		}
		// Not collected yet: POLLHUP, which needs no asking, tells when it is.
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd)}}, 20)
	}
	return ending{}
}
