package sdk

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"syscall"

	"github.com/mevdschee/tqserver/sdk/control"
)

// requestIDKey is the attribute of lines that belong to a request.
const requestIDKey = "request_id"

// Logger returns the log of a plugin: JSON lines on descriptor 2, which the
// host makes lines of its own log with the names of worker and plugin added.
// What is below the host's level is not written. Lines logged with the context
// of a request (InfoContext and the like) have the request's ID.
func Logger() *slog.Logger {
	level := slog.LevelInfo
	if text := os.Getenv(control.EnvLogLevel); text != "" {
		_ = level.UnmarshalText([]byte(text)) // unknown: stays at info
	}
	lines := slog.NewJSONHandler(stderr{}, &slog.HandlerOptions{Level: level, ReplaceAttr: readable})
	return slog.New(requestLog{Handler: lines, named: lines})
}

// requestLog adds the request's ID to lines that do not have it.
type requestLog struct {
	slog.Handler
	// named is Handler with the ID's place kept free outside of groups: what was
	// added is repeated on it when a line needs the ID.
	named slog.Handler
	added []func(slog.Handler) slog.Handler
	has   bool
}

// Handle implements slog.Handler.
func (h requestLog) Handle(ctx context.Context, r slog.Record) error {
	id := ""
	if !h.has {
		id = RequestID(ctx)
	}
	if id == "" {
		return h.Handler.Handle(ctx, r)
	}
	with := h.named.WithAttrs([]slog.Attr{slog.String(requestIDKey, id)})
	for _, add := range h.added {
		with = add(with)
	}
	return with.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h requestLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	has := h.has
	for _, a := range attrs {
		has = has || a.Key == requestIDKey
	}
	return h.with(has, func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h requestLog) WithGroup(name string) slog.Handler {
	return h.with(h.has, func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h requestLog) with(has bool, add func(slog.Handler) slog.Handler) requestLog {
	added := append(slices.Clip(h.added), add)
	return requestLog{Handler: add(h.Handler), named: h.named, added: added, has: has}
}

// readable keeps the unit of a duration, which JSON would make a bare number.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// stderr is descriptor 2 itself: go-plugin replaces os.Stderr by a pipe of its
// own, which blocks while the host does not listen.
type stderr struct{}

func (stderr) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := syscall.Write(2, p[written:])
		if n > 0 {
			written += n
		}
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return written, err
		}
	}
	return written, nil
}
