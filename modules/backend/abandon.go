package backend

import (
	"context"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// abandonMost bounds how long a child is waited for whose request has no
// client any more.
const abandonMost = 10 * time.Minute

// abandon gives up a connection whose request is not finished. When running
// says that its process may still work on it, the place stays taken until it
// has let go of the connection: a new request there would wait behind it.
// Nothing more is read, so that the script's next output fails and PHP ends
// it, unless it asked to ignore that (ignore_user_abort).
func (p *pool) abandon(c *poolConn, running bool) {
	u, ok := c.NetConn().(*net.UnixConn)
	if !running || !ok {
		p.discard(c)
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), abandonMost)
		defer cancel()
		waitHangup(ctx, u)
		p.discard(c)
	}()
}

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
