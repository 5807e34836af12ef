package backend

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/sdk"
)

// abandonMost bounds how long a process is waited for that cannot be ended
// because the plugin that started it is gone.
const abandonMost = 10 * time.Minute

// abandon gives up a connection on whose request the process may still work:
// the place stays taken until it has let go of the connection, since a new
// request there would wait behind it.
// Nothing more is read, so that the script's next output fails and PHP ends
// it, unless it asked to ignore that (ignore_user_abort). After patience the
// process is ended.
func (p *pool) abandon(c *poolConn, patience time.Duration) {
	c.flush()
	p.mu.Lock()
	facts := c.call.facts() // the call is over soon
	p.vacate(c)
	p.held++
	p.mu.Unlock()
	go func() { // ends with the script, at the latest after patience and abandonMost
		p.await(c, patience, facts)
		p.unhold(c)
	}()
}

// await returns when the process has let go of the connection.
func (p *pool) await(c *poolConn, patience time.Duration, facts []slog.Attr) {
	u, ok := c.NetConn().(*net.UnixConn)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := waitLetGo(ctx, u); !timeout(err) {
		return // it has; another error leaves no way to know
	}
	killing, cancel := context.WithTimeout(context.Background(), retireWait)
	defer cancel()
	process, err := c.end(killing, retireGone, true)
	switch {
	case errors.Is(err, sdk.ErrNoProcess): // it has ended; what it started may hold the connection
	case err != nil:
		p.log.Warn("a script whose client has left goes on, and its process cannot be ended", "error", err)
		long, cancel := context.WithTimeout(context.Background(), abandonMost)
		defer cancel()
		_ = waitLetGo(long, u)
	case process.PID != 0:
		p.mu.Lock()
		p.stats.retired[retireGone]++
		p.mu.Unlock()
		p.log.LogAttrs(killing, slog.LevelWarn, "a script went on for longer than pool.abort_timeout after its client had left; its process was ended",
			append(facts, processFacts(process)...)...)
		_ = waitLetGo(killing, u)
	}
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
