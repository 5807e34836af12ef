package sdk

import (
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/mevdschee/tqserver/sdk/control"
)

// watchHost calls gone, once, when the host has died or asks the process to
// end. While the lifeline is open, SIGTERM and SIGINT are not for us: a service
// manager sends them to all processes of the server while the host is still
// draining. They are caught, not ignored, because a child started here would
// inherit that; SIGPIPE is caught so that a dead host's log does not kill us
// before the backend is stopped.
func watchHost(log *slog.Logger, gone func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	lifeline := openLifeline()
	if lifeline == nil {
		go func() {
			for sig := range signals {
				if sig == syscall.SIGTERM {
					gone()
				}
			}
		}()
		return
	}
	go func() {
		for sig := range signals {
			log.Debug("signal ignored: the host decides", "signal", sig.String())
		}
	}()
	go func() {
		// Nothing is ever written: the read ends when the last writer, the
		// host, does.
		_, _ = lifeline.Read(make([]byte, 1))
		gone()
	}()
}

// openLifeline takes the descriptor the host passed, so that children inherit
// neither it nor its number. Nil when there is none.
func openLifeline() *os.File {
	text, ok := os.LookupEnv(control.EnvLifeline)
	_ = os.Unsetenv(control.EnvLifeline)
	fd, err := strconv.Atoi(text)
	if !ok || err != nil || fd < 3 {
		return nil
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "lifeline")
}
