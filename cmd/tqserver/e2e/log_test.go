package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// logBook keeps every line the server writes to its log.
type logBook struct {
	mu    sync.Mutex
	rest  []byte
	lines []logLine
}

// logLine is one line; attrs is nil when it is no JSON object.
type logLine struct {
	raw   string
	level string
	msg   string
	attrs map[string]any
}

// has says whether all of the words stand in the line.
func (l logLine) has(words ...string) bool {
	for _, w := range words {
		if !strings.Contains(l.raw, w) {
			return false
		}
	}
	return true
}

// text is an attribute as text, "" when there is none.
func (l logLine) text(attr string) string {
	v, ok := l.attrs[attr]
	if !ok {
		return ""
	}
	return fmt.Sprint(v)
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest = append(b.rest, p...)
	for {
		i := bytes.IndexByte(b.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		line := logLine{raw: string(b.rest[:i])}
		if json.Unmarshal(b.rest[:i], &line.attrs) == nil {
			line.level, line.msg = line.text("level"), line.text("msg")
		}
		b.lines = append(b.lines, line)
		b.rest = b.rest[i+1:]
	}
}

// all is what has been written so far.
func (b *logBook) all() []logLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clip(b.lines)
}

// len marks a place in the log, for find and wait to begin at.
func (b *logBook) len() int { return len(b.all()) }

// find returns the first line from a mark on that has all the words.
func (b *logBook) find(from int, words ...string) (logLine, bool) {
	for _, l := range b.all()[from:] {
		if l.has(words...) {
			return l, true
		}
	}
	return logLine{}, false
}

// wait waits for a line from a mark on that has all the words.
func (b *logBook) wait(t *testing.T, within time.Duration, from int, words ...string) logLine {
	t.Helper()
	var line logLine
	poll(t, within, fmt.Sprintf("a log line with %q", words), func() (ok bool) {
		line, ok = b.find(from, words...)
		return ok
	})
	return line
}

// String is the log for people, the last lines of a long one.
func (b *logBook) String() string {
	lines := b.all()
	const most = 40
	var s strings.Builder
	if len(lines) > most {
		fmt.Fprintf(&s, "(%d lines before)\n", len(lines)-most)
		lines = lines[len(lines)-most:]
	}
	for _, l := range lines {
		fmt.Fprintf(&s, "%.400s\n", l.raw)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Write(b.rest)
	return s.String()
}
