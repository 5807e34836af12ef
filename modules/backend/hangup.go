package backend

import (
	"context"
	"net"

	"golang.org/x/sys/unix"
)

// waitHangup shuts the reading side and waits until the other end has closed
// the connection or ctx ends. Reading cannot tell: after the shutdown it
// returns at once. The poller still wakes on the hang-up.
func waitHangup(ctx context.Context, c *net.UnixConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	if err := c.CloseRead(); err != nil {
		return
	}
	deadline, _ := ctx.Deadline()
	if err := c.SetReadDeadline(deadline); err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(poll, 0)
		return err == nil && poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
}
