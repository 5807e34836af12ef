package telemetry

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// Loggers made before keep their attributes when level and format change.
func TestLevelAndFormatChangeForLoggersThatExist(t *testing.T) {
	var out bytes.Buffer
	logger, live, async := New(Config{"info", "text"}, &out)
	derived := logger.With("worker", "blog").WithGroup("g")
	derived.Debug("one")
	derived.Info("two", "n", 1)
	live.Set(Config{"debug", "json"})
	derived.Debug("three", "n", 2)
	live.Set(Config{"error", "json"})
	derived.Warn("four")
	if err := async.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	for i, want := range []string{`level=INFO msg=two worker=blog g.n=1`, `"level":"DEBUG","msg":"three","worker":"blog","g":{"n":2}}`} {
		if !strings.HasSuffix(lines[i], want) {
			t.Errorf("%q, want at its end %q", lines[i], want)
		}
	}
}
