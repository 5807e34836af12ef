package php

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/mevdschee/tqserver/sdk/process"
)

const (
	// maxLine is the longest line of PHP's that is logged whole; what is
	// longer is logged in pieces.
	maxLine = 1 << 20
	// tailLines is how many lines a report of a failure quotes.
	tailLines = 5
)

// output makes log lines of what php-cgi writes: one line, one record, its
// text the message. Children share the pipe, so that lines above the 4 KiB
// which a pipe takes at once can mix when two of them write at the same moment.
type output struct {
	log  *slog.Logger
	part strings.Builder // of a line whose end has not come

	mu   sync.Mutex
	last []string
}

// emit is called by one goroutine at a time.
func (o *output) emit(l process.Line) {
	if l.Dropped > 0 {
		o.log.Warn("php-cgi wrote faster than the log takes it, lines are lost", "lines", l.Dropped)
	}
	if l.Part && o.part.Len()+len(l.Text) < maxLine {
		o.part.WriteString(l.Text)
		return
	}
	text := l.Text
	if o.part.Len() > 0 {
		o.part.WriteString(l.Text)
		text = o.part.String()
		o.part.Reset()
	}
	if text == "" {
		return
	}
	o.mu.Lock()
	if len(o.last) == tailLines {
		o.last = append(o.last[:0], o.last[1:]...)
	}
	o.last = append(o.last, cut(text, 500))
	o.mu.Unlock()
	o.log.LogAttrs(context.Background(), level(text), text)
}

// tail returns the last lines, with ": " before them when there are any.
func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.last) == 0 {
		return ""
	}
	return ": " + strings.Join(o.last, " | ")
}

// level reads the severity off a line as PHP writes it with log_errors
// (main/main.c, php_error_cb).
func level(line string) slog.Level {
	kind, _, _ := strings.Cut(strings.TrimPrefix(line, "PHP "), ":")
	switch strings.TrimSpace(kind) {
	case "Fatal error", "Parse error", "Recoverable fatal error", "Core error", "Compile error", "PHP":
		return slog.LevelError // "PHP:  syntax error, …" is about php.ini
	case "Warning", "Core Warning", "Compile Warning", "User Warning":
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
