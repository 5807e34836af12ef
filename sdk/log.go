package sdk

import (
	"errors"
	"log/slog"
	"os"
	"syscall"

	"github.com/mevdschee/tqserver/sdk/control"
)

// Logger returns the log of a plugin: JSON lines on descriptor 2, which the
// host makes lines of its own log with the names of worker and plugin added.
// What is below the host's level is not written.
func Logger() *slog.Logger {
	level := slog.LevelInfo
	if text := os.Getenv(control.EnvLogLevel); text != "" {
		_ = level.UnmarshalText([]byte(text)) // unknown: stays at info
	}
	return slog.New(slog.NewJSONHandler(stderr{}, &slog.HandlerOptions{Level: level, ReplaceAttr: readable}))
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
