package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// Live is a handler whose level and format can change while loggers hold it.
type Live struct {
	text, json slog.Handler
	level      *slog.LevelVar
	asJSON     *atomic.Bool
}

// Set takes over another configuration, for all loggers at once.
func (l *Live) Set(cfg Config) {
	l.level.Set(level(cfg.Level))
	l.asJSON.Store(cfg.Format == formatJSON)
}

func (l *Live) now() slog.Handler {
	if l.asJSON.Load() {
		return l.json
	}
	return l.text
}

// Enabled implements slog.Handler.
func (l *Live) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level.Level() }

// Handle implements slog.Handler.
func (l *Live) Handle(ctx context.Context, r slog.Record) error { return l.now().Handle(ctx, r) }

// WithAttrs implements slog.Handler.
func (l *Live) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Live{l.text.WithAttrs(attrs), l.json.WithAttrs(attrs), l.level, l.asJSON}
}

// WithGroup implements slog.Handler.
func (l *Live) WithGroup(name string) slog.Handler {
	return &Live{l.text.WithGroup(name), l.json.WithGroup(name), l.level, l.asJSON}
}
