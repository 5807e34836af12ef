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

// abandon gives up a connection on whose request the process may still work:
// the place stays taken until it has let go of the connection, since a new
// request there would wait behind it.
// Nothing more is read, so that the script's next output fails and PHP ends
// it, unless it asked to ignore that (ignore_user_abort).
func (p *pool) abandon(c *poolConn) {
	u, ok := c.NetConn().(*net.UnixConn)
	if !ok {
		p.discard(c)
		return
	}
	go func() { // ends with the script, or when the pool's process is killed
		ctx, cancel := context.WithTimeout(context.Background(), abandonMost)
		defer cancel()
		// An error leaves no way to know: the place is given back at once.
		_ = waitLetGo(ctx, u)
		p.discard(c)
	}()
}

// waitLetGo shuts the reading side and waits until the process at the other end
// is done with the connection, or ctx ends. php-cgi then shuts its writing side
// and reads until we close (fcgi_close in main/fastcgi.c), which no flag of our
// socket shows. So a byte is sent that no script reads: when it was taken, the
// script has ended. The kernel wakes a writer when its bytes are.
func waitLetGo(ctx context.Context, c *net.UnixConn) error {
	if err := c.CloseRead(); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	if err := c.SetWriteDeadline(deadline); err != nil {
		return err
	}
	if _, err := c.Write([]byte{0}); err != nil {
		return err // it has closed already
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Write(func(fd uintptr) bool {
		untaken, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		return err != nil || untaken == 0
	})
}
