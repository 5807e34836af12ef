package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/mevdschee/tqserver/core/conf"
)

// Section is the section "log" of the configuration.
var Section = conf.NewSection("log", DefaultConfig)

// Config is what the section "log" holds.
type Config struct {
	Level  string `conf:"level" enum:"debug,info,warn,error" doc:"Least severity that is logged: debug, info, warn or error." source:"log/slog"`
	Format string `conf:"format" enum:"text,json" doc:"Form of a line: text (logfmt) or json, both as package log/slog writes them." source:"log/slog"`
}

// DefaultConfig returns the defaults of the section "log", those of log/slog.
func DefaultConfig() Config { return Config{Level: "info", Format: "text"} }

const formatJSON = "json"

// New returns a logger that writes lines to w in the background, the Live by which
// its configuration changes, and the Async that writes, which the caller closes. An
// unknown level or format, which Decode does not let through, counts as the default.
func New(cfg Config, w io.Writer) (*slog.Logger, *Live, *Async) {
	live := &Live{level: &slog.LevelVar{}, asJSON: &atomic.Bool{}}
	live.Set(cfg)
	async := NewAsync(w, bufferSize, func(lost uint64) []byte {
		var line bytes.Buffer
		said := handler(&line, live.asJSON.Load(), slog.LevelWarn) // at every level
		slog.New(said).Warn("log lines were dropped because the log could not be written fast enough", "lines", lost)
		return line.Bytes()
	})
	live.text, live.json = handler(async, false, live.level), handler(async, true, live.level)
	return slog.New(live), live, async
}

func level(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return l
}

func handler(w io.Writer, asJSON bool, least slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: least}
	w = escaper{w}
	if asJSON {
		// A duration keeps its unit; JSON would make it a bare number.
		options.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindDuration {
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		}
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// escaper writes as \uXXXX what slog leaves bare and a terminal obeys: DEL (both
// handlers, Go 1.26), the C1 controls and the marks that change the direction of
// text (JSON). All other control characters slog escapes.
type escaper struct{ w io.Writer }

func (e escaper) Write(line []byte) (int, error) {
	if bytes.IndexFunc(line, hidden) < 0 {
		return e.w.Write(line)
	}
	out := make([]byte, 0, len(line)+64)
	for rest := line; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case !hidden(r):
			out = append(out, rest[:size]...)
		case r > 0xffff: // JSON escapes are UTF-16
			high := (r - 0x10000) >> 10
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+high, 0xdc00+(r-0x10000)&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		rest = rest[size:]
	}
	if _, err := e.w.Write(out); err != nil {
		return 0, err
	}
	return len(line), nil
}

func hidden(r rune) bool { return r >= 0x7f && !unicode.IsPrint(r) && r != utf8.RuneError }
