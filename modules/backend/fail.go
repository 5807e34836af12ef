package backend

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/cgi"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// failure is a request that got no answer from its worker.
type failure struct {
	status int
	level  slog.Level
	what   string // what happened, for the log
	hint   string // what to do, for the log
	err    error
}

// log writes the one line of a failed request: who asked for what, how
// long it waited and ran, why it failed, what to do.
func (f failure) log(ctx context.Context, log *slog.Logger, facts []slog.Attr) {
	attrs := append([]slog.Attr{slog.Int("status", f.status)}, facts...)
	if f.err != nil {
		attrs = append(attrs, slog.Any("error", f.err))
	}
	if f.hint != "" {
		attrs = append(attrs, slog.String("hint", f.hint))
	}
	log.LogAttrs(ctx, f.level, f.what, attrs...)
}

// outcome says how the failure counts.
func (f failure) outcome(c *call) outcome {
	switch {
	case f.status == statusClientGone && c.conn == nil:
		return outcomeLeft
	case f.status == statusClientGone, f.status < http.StatusInternalServerError:
		return outcomeAborted
	case f.status == http.StatusGatewayTimeout:
		return outcomeTimedOut
	case f.status == http.StatusServiceUnavailable && errors.Is(f.err, errQueueWait):
		return outcomeExpired
	case f.status == http.StatusServiceUnavailable:
		return outcomeRefused
	case processGone(f.err):
		return outcomeCrashed
	}
	return outcomeFailed
}

// scriptUnknown is what PHP-FPM says of a missing script, and what people look
// for in a web server's log.
const scriptUnknown = "Primary script unknown"

// answer sends the status to the client; the reason stays in the log, but for
// the web server's own error log, which gets it on FCGI_STDERR.
func (f failure) answer(w http.ResponseWriter, r *http.Request, retryAfter time.Duration) {
	if fcgi := api.FastCGIFrom(r.Context()); fcgi != nil && fcgi.Stderr != nil {
		what := f.what
		if f.status == http.StatusNotFound && what != scriptUnknown {
			what = scriptUnknown + ": " + what
		}
		_, _ = fcgi.Stderr.Write([]byte(what + "\n"))
	}
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(retryAfter/time.Second))))
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, strconv.Itoa(f.status)+" "+http.StatusText(f.status), f.status)
}

// noConnection says why acquire failed.
func noConnection(err error) failure {
	switch {
	case errors.Is(err, errQueueFull):
		return failure{
			http.StatusServiceUnavailable, slog.LevelWarn, "the worker's queue is full",
			"raise pool.max_workers or pool.queue.length, or find out why requests run long", nil,
		}
	case errors.Is(err, errQueueWait):
		return failure{
			http.StatusServiceUnavailable, slog.LevelWarn, "no process of the worker became free in time",
			"raise pool.max_workers or pool.queue.wait, or find out why requests run long", err,
		}
	case errors.Is(err, errNoStart):
		return failure{http.StatusBadGateway, slog.LevelError, "the worker's processes could not be started", "see the log lines of the worker's plugin", err}
	case errors.Is(err, errPoolStopped):
		return failure{http.StatusServiceUnavailable, slog.LevelInfo, "the worker is stopping", "", nil}
	case errors.Is(err, context.Canceled):
		return clientLeft("the client left while its request waited in the queue", nil)
	default:
		return failure{
			http.StatusBadGateway, slog.LevelError, "no connection to the worker's process",
			"see the log lines of the worker's plugin", err,
		}
	}
}

// statusClientGone is nginx's number for a client that left; nobody receives it.
const statusClientGone = 499

// clientLeft is the failure of a request that nobody waits for any more.
func clientLeft(what string, err error) failure {
	return failure{statusClientGone, slog.LevelInfo, what, "", err}
}

// badAnswer says what an answer that never began, or broke off, means for the
// client. leave was called before.
func (c *call) badAnswer(err error) failure {
	switch c.why {
	case clientGone:
		return clientLeft("the client left while its request ran", nil)
	case timedOut:
		return failure{
			http.StatusGatewayTimeout, slog.LevelError, "the request ran longer than pool.request_timeout",
			"raise pool.request_timeout, or find out what the request waits for", nil,
		}
	case running:
	}
	if c.conn != nil && c.conn.http != nil && !processGone(err) {
		return failure{http.StatusBadGateway, slog.LevelError, "the worker sent no valid HTTP response", "", err}
	}
	if _, ok := errors.AsType[*cgi.HeadError](err); ok || errors.Is(err, cgi.ErrHeadTooLarge) || errors.Is(err, errNoHead) {
		return failure{http.StatusBadGateway, slog.LevelError, "the worker sent no valid CGI response head", "", err}
	}
	return failure{
		http.StatusBadGateway, slog.LevelError, "the worker's process ended before it answered",
		"it was killed or has crashed; see its own log lines, and the kernel's for out of memory", err,
	}
}

// brokenAnswer is badAnswer of a response whose head had come.
func (c *call) brokenAnswer(err error) failure {
	f := c.badAnswer(err)
	f.what += ", in the midst of its response"
	return f
}

// notSent says why a request never reached its worker.
func (c *call) notSent(err error) failure {
	if c.why != running {
		return c.badAnswer(err)
	}
	if errors.Is(err, fastcgi.ErrPairTooLarge) {
		return failure{http.StatusRequestHeaderFieldsTooLarge, slog.LevelInfo, "a header or param is too large for a worker", "", err}
	}
	return noConnection(err)
}

// unsent says that the worker has seen nothing of the request.
func unsent(err error) bool {
	if _, ok := errors.AsType[*notSentError](err); ok {
		return true
	}
	e, ok := errors.AsType[*fastcgi.Error](err)
	return ok && e.Stage == fastcgi.StageNotSent
}

func timeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return errors.Is(err, os.ErrDeadlineExceeded) || ok && e.Timeout()
}
