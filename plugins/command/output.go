package command

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/mevdschee/tqserver/sdk/process"
)

// tailLines is how many lines a report of a failure quotes, tailLength how much
// of each, in bytes.
const tailLines, tailLength = 5, 500

// output makes log lines of what a process prints.
type output struct {
	log  *slog.Logger
	last [2]lines // of stdout and stderr
}

type lines struct {
	mu   sync.Mutex
	list []string
}

const stdout, stderr = 0, 1

// emit returns what takes the lines of stdout or stderr, one at a time.
func (o *output) emit(stream int) func(process.Line) {
	name := [...]string{"stdout", "stderr"}[stream]
	return func(l process.Line) {
		if l.Dropped > 0 {
			o.log.Warn("the program printed faster than the log takes it, lines are lost", "lines", l.Dropped)
		}
		if strings.TrimSpace(l.Text) == "" {
			return
		}
		o.last[stream].add(l.Text)
		attrs := []slog.Attr{slog.String("stream", name)}
		if l.Part {
			attrs = append(attrs, slog.Bool("cut", true))
		}
		o.log.LogAttrs(context.Background(), slog.LevelInfo, l.Text, attrs...)
	}
}

func (l *lines) add(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) == tailLines {
		l.list = append(l.list[:0], l.list[1:]...)
	}
	l.list = append(l.list, text[:min(len(text), tailLength)])
}

func (l *lines) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) == 0 {
		return ""
	}
	return ": " + strings.Join(l.list, " | ")
}

// tail returns the last lines of stderr, or else of stdout, with ": " before
// them when there are any.
func (o *output) tail() string {
	if text := o.last[stderr].tail(); text != "" {
		return text
	}
	return o.last[stdout].tail()
}
