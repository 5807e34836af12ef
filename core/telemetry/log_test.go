package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logged returns what log writes by way of a logger.
func logged(t *testing.T, cfg Config, log func(*slog.Logger)) string {
	t.Helper()
	var out bytes.Buffer
	logger, _, async := New(cfg, &out)
	log(logger)
	if err := async.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestSection(t *testing.T) {
	if p := settings.CheckStruct(DefaultConfig()); p != nil {
		t.Error(p)
	}
	tree, err := conf.Load(conf.Options{Sets: []string{"log.level=loud", "log.format=xml"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "--set log.level: \"loud\" is not known; write one of debug, info, warn, error\n" +
		"--set log.format: \"xml\" is not known; write one of text, json"
	if _, err := Section.Decode(tree); err == nil || err.Error() != want {
		t.Error(err)
	}
}

func TestLevels(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		out := logged(t, Config{level, "text"}, func(l *slog.Logger) {
			l.Debug("m")
			l.Info("m")
			l.Warn("m")
			l.Error("m")
		})
		if got := strings.Count(out, "\n"); got != want {
			t.Errorf("%s: %d lines, want %d", level, got, want)
		}
	}
}

type nasty string

func (n nasty) MarshalText() ([]byte, error) { return []byte(n), nil }
func (n nasty) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"x\n": string(n)})
}
func (n nasty) LogValue() slog.Value          { return slog.StringValue(string(n)) }
func (n nasty) Error() string                 { return string(n) }
func (n nasty) Format(s fmt.State, verb rune) { _, _ = io.WriteString(s, string(n)) }

// One event is one line of printable characters, wherever the bytes of a
// client or script turn up.
func TestOneEventIsOneLine(t *testing.T) {
	values := []string{
		"\n127.0.0.1 - admin", "a\r\nb", "\x1b]0;title\x07", "\x1b[2J", "nul\x00", "del\x7f", "csi\u009b2J", "nel\u0085",
		"\u2028ls\u2029", "\u202etxt.exe", "\u2066iso", "zero\u200bwidth", "\xff\xfe", "\xc2", "tag\U000e0041", "back\\slash\"quote", "\t", "\v\f\b",
	}
	for _, format := range []string{"text", "json"} {
		for _, v := range values {
			out := logged(t, Config{"info", format}, func(l *slog.Logger) {
				l.With("with"+v, v).WithGroup("g"+v).Info("msg"+v, "key"+v, v,
					slog.Group("group"+v, "k", v), "err", errors.New(v), "any", []string{v}, "bytes", []byte(v),
					"struct", struct{ A string }{v}, "nasty", nasty(v), "map", map[string]any{v: v})
			})
			if strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "\n") {
				t.Errorf("%s %q: not one line: %q", format, v, out)
			}
			for _, r := range strings.TrimSuffix(out, "\n") {
				if !unicode.IsPrint(r) && r != unicode.ReplacementChar {
					t.Errorf("%s %q: %U is bare in %q", format, v, r, out)
				}
			}
			if format == "json" {
				var event map[string]any
				if err := json.Unmarshal([]byte(out), &event); err != nil {
					t.Errorf("%q: %v in %s", v, err, out)
				} else if want := "msg" + strings.ToValidUTF8(v, "\ufffd"); event["msg"] != want && !strings.Contains(v, "\xff") {
					t.Errorf("%q came as %q", want, event["msg"])
				}
			}
		}
	}
}

// gate is a writer that waits until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	b    bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.Write(p)
}

// A log that hangs makes nobody wait; the newest lines are dropped and counted, and
// the count is logged.
func TestHangingLogDropsNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		a := NewAsync(g, 1000, func(lost uint64) []byte { return fmt.Appendf(nil, "lost %d\n", lost) })
		line := func(i int) []byte { return fmt.Appendf(nil, "line %04d\n", i) } // 10 bytes
		if _, err := a.Write(line(0)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // line 0 is in the hands of the writer
		for i := 1; i <= 150; i++ {
			if n, err := a.Write(line(i)); n != 10 || err != nil {
				t.Fatal(n, err)
			}
		}
		if a.Dropped() != 50 {
			t.Errorf("dropped %d", a.Dropped())
		}
		close(g.open)
		synctest.Wait()
		if _, err := a.Write(line(151)); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		for i := range 101 {
			want.Write(line(i))
		}
		want.WriteString("lost 50\n")
		want.Write(line(151))
		if g.b.String() != want.String() {
			t.Errorf("got %s", g.b.String())
		}
	})
}

func TestCloseObeysItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		logger, _, a := New(DefaultConfig(), g)
		logger.Info("hangs")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := a.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := a.Write([]byte("late\n")); !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		close(g.open)
		if err := a.Close(t.Context()); err != nil { // twice, and now it can
			t.Error(err)
		}
		if !strings.Contains(g.b.String(), "hangs") {
			t.Error("lost")
		}
	})
}

// failing fails as told: each step takes so many bytes and, if negative, none;
// the last step takes all.
type failing struct {
	steps []int
	b     bytes.Buffer
}

func (f *failing) Write(p []byte) (int, error) {
	if len(f.steps) == 0 {
		return f.b.Write(p)
	}
	n := min(f.steps[0], len(p))
	f.steps = f.steps[1:]
	f.b.Write(p[:n])
	return n, errors.New("disk full")
}

func TestFailingLogRecovers(t *testing.T) {
	tests := []struct {
		name  string
		steps []int
		want  string
	}{
		{"nothing written", []int{0}, "b\nlost 1\n"},
		{"half a line", []int{2}, "aa\nb\nlost 1\n"},
		{"twice", []int{0, 0}, "c\nlost 2\n"},
		{"half, then half of the notice", []int{2, 4}, "aa\nb\nl\nc\nlost 1\n"},
		{"half, then nothing", []int{2, 0}, "aa\nc\nlost 2\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &failing{steps: tt.steps}
				a := NewAsync(f, 1000, func(lost uint64) []byte { return fmt.Appendf(nil, "lost %d\n", lost) })
				lines := []string{"aaaa\n", "b\n", "c\n"}[:len(tt.steps)+1]
				for _, line := range lines {
					_, _ = a.Write([]byte(line))
					synctest.Wait() // no endless tries: every goroutine sleeps
				}
				if err := a.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if f.b.String() != tt.want {
					t.Errorf("got %q, want %q", f.b.String(), tt.want)
				}
			})
		})
	}
}

func TestConcurrentLinesStayWhole(t *testing.T) {
	out := logged(t, Config{"info", "json"}, func(l *slog.Logger) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 500 {
					l.Info("message", "i", i)
				}
			})
		}
		wg.Wait()
	})
	n := 0
	for line := range strings.Lines(out) {
		if n++; !json.Valid([]byte(line)) {
			t.Fatalf("torn: %q", line)
		}
	}
	if n != 4000 {
		t.Errorf("%d lines", n)
	}
}

func TestDropNoticeIsALogLine(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		_, _, a := New(Config{"error", format}, io.Discard)
		line := string(a.notice(7))
		if strings.Count(line, "\n") != 1 || !strings.Contains(line, "dropped") || !strings.Contains(line, "7") {
			t.Errorf("%s: %q", format, line)
		}
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkLog(b *testing.B) {
	logger, _, a := New(Config{"info", "text"}, io.Discard)
	for b.Loop() {
		logger.Info("request", "method", "GET", "path", "/blog/hello.php", "status", 200)
	}
	if err := a.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
