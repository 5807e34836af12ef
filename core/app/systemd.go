package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/control"
)

// statusEvery is how often the service manager gets a new status text.
const statusEvery = 10 * time.Second

// manager is the service manager that started the server (sd_notify(3)); without
// one its methods do nothing.
type manager struct{ log *slog.Logger }

func (manager) there() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

func (m manager) say(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		m.log.Warn("the service manager could not be told", "error", err)
	}
}

func (m manager) ready(status string) { m.say(daemon.SdNotifyReady, "STATUS="+status) }
func (m manager) status(text string)  { m.say("STATUS=" + text) }

// reloading is followed by ready, whatever became of the reload.
func (m manager) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	m.say(daemon.SdNotifyReloading, fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000), "STATUS=reloading")
}

func (m manager) stopping() {
	m.say(daemon.SdNotifyStopping, "STATUS=stopping: running requests may finish")
}

// report tells the service manager how the server does until ctx ends, and that
// it is alive as long as it answers: a command has to get through the control
// socket to every worker's pool and back.
func (p *process) report(ctx context.Context) {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		p.log.Warn("the service manager's watchdog is not served", "error", err)
	}
	every := statusEvery
	if watchdog > 0 {
		every = min(every, watchdog/2)
	}
	client := control.NewClient(p.fixed.controlSocket())
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, every)
		workers, err := client.Status(asking, "", false)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			p.log.Error("the server does not answer its own question", "error", err)
		default:
			if watchdog > 0 {
				p.manager.say(daemon.SdNotifyWatchdog)
			}
			if !p.draining.Load() {
				p.manager.status(statusText(workers))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// statusText is what `systemctl status` shows.
func statusText(workers []api.WorkerStatus) string {
	var running, queued int
	var done uint64
	var ill []string
	for i := range workers {
		w := &workers[i]
		running, queued, done = running+w.Active, queued+w.Queued, done+w.Done
		if w.State == api.WorkerDegraded || w.State == api.WorkerDown {
			ill = append(ill, w.Worker+" is "+string(w.State))
		}
	}
	text := fmt.Sprintf("serving %d workers; requests: %d running, %d waiting, %d answered", len(workers), running, queued, done)
	if len(ill) > 0 {
		text += "; " + strings.Join(ill, ", ")
	}
	return text
}
