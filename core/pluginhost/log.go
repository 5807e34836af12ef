package pluginhost

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/sdk/process"
)

// logLine makes a line of a plugin's output one of ours. JSON as slog or hclog
// write it keeps its level, message and attributes, and true is returned;
// anything else is the message as it is, at the level otherwise.
func logLine(log *slog.Logger, otherwise slog.Level, line process.Line) bool {
	ctx := context.Background() // belongs to no request
	if line.Dropped > 0 {
		log.Log(ctx, slog.LevelWarn, "lines of the plugin's output came too fast and were dropped", "lines", line.Dropped)
	}
	if strings.TrimSpace(line.Text) == "" {
		return false
	}
	if !line.Part {
		if r, ok := parseRecord(line.Text); ok {
			if log.Enabled(ctx, r.Level) {
				_ = log.Handler().Handle(ctx, r)
			}
			return true
		}
	}
	if line.Part {
		log.Log(ctx, otherwise, line.Text, "cut", true)
		return false
	}
	log.Log(ctx, otherwise, line.Text)
	return false
}

// parseRecord reads a line of slog's JSON handler (time, level, msg) or of
// hclog's (@timestamp, @level, @message).
func parseRecord(text string) (slog.Record, bool) {
	if !strings.HasPrefix(text, "{") {
		return slog.Record{}, false
	}
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	if d.Decode(&fields) != nil || d.More() {
		return slog.Record{}, false
	}
	message, ok1 := take(fields, "msg", "@message")
	levelText, ok2 := take(fields, "level", "@level")
	if !ok1 || !ok2 {
		return slog.Record{}, false
	}
	at := time.Now()
	if text, ok := take(fields, "time", "@timestamp"); ok {
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			at = t
		}
	}
	r := slog.NewRecord(at, level(levelText), message, 0)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		switch key {
		case "worker", "plugin", "time", "level", "msg": // ours are true
			continue
		}
		r.AddAttrs(slog.Any(key, plain(fields[key])))
	}
	return r, true
}

// plain turns a JSON number into one slog prints as a number.
func plain(v any) any {
	n, ok := v.(json.Number)
	if !ok {
		return v
	}
	if i, err := n.Int64(); err == nil {
		return i
	}
	if f, err := n.Float64(); err == nil {
		return f
	}
	return n.String()
}

func take(fields map[string]any, names ...string) (string, bool) {
	for _, name := range names {
		if text, ok := fields[name].(string); ok {
			delete(fields, name)
			return text, true
		}
	}
	return "", false
}

func level(text string) slog.Level {
	var l slog.Level
	if strings.EqualFold(text, "trace") || l.UnmarshalText([]byte(text)) != nil {
		return slog.LevelDebug
	}
	return l
}
