package pluginhost

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/sdk/process"
)

func TestLogLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		line process.Line
		want string
	}{
		"slog":          {process.Line{Text: `{"time":"2026-01-02T03:04:05Z","level":"ERROR","msg":"m","n":1.5,"s":"x"}`}, `time=2026-01-02T03:04:05.000Z level=ERROR msg=m worker=w n=1.5 s=x`},
		"hclog":         {process.Line{Text: `{"@level":"warn","@message":"m","@module":"x"}`}, `level=WARN msg=m worker=w @module=x`},
		"own level":     {process.Line{Text: `{"level":"INFO+2","msg":"m"}`}, `level=INFO+2 msg=m`},
		"odd level":     {process.Line{Text: `{"level":"loud","msg":"m"}`}, `level=DEBUG msg=m`},
		"forged worker": {process.Line{Text: `{"level":"INFO","msg":"m","worker":"other","plugin":"other"}`}, "level=INFO msg=m worker=w\n"},
		"message no text": { // go-plugin's own parser panics on this
			process.Line{Text: `{"@level":"warn","@message":1}`}, `level=WARN msg="{\"@level\":\"warn\",\"@message\":1}" worker=w`,
		},
		"other JSON":     {process.Line{Text: `{"a":1}`}, `level=WARN msg="{\"a\":1}"`},
		"broken JSON":    {process.Line{Text: `{"level":"INFO","msg":`}, `level=WARN msg="{`},
		"two objects":    {process.Line{Text: `{"level":"INFO","msg":"a"} {}`}, `level=WARN msg="{`},
		"plain":          {process.Line{Text: "hello"}, `level=WARN msg=hello worker=w`},
		"control bytes":  {process.Line{Text: "a\x1b[31m\x00\xff"}, `level=WARN msg="a\x1b[31m\x00\xff"`},
		"empty":          {process.Line{Text: "  "}, ""},
		"cut":            {process.Line{Text: "begin", Part: true}, `level=WARN msg=begin worker=w cut=true`},
		"dropped":        {process.Line{Dropped: 7}, `lines=7`},
		"below our mind": {process.Line{Text: `{"level":"TRACE","msg":"m"}`}, `level=DEBUG msg=m`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})).With("worker", "w")
			logLine(log, slog.LevelWarn, c.line)
			if got := out.String(); !strings.Contains(got, c.want) || (c.want == "" && got != "") {
				t.Errorf("%q, want %q", got, c.want)
			}
			if strings.Count(out.String(), "\n") > 1 {
				t.Errorf("more than one line: %q", out.String())
			}
		})
	}
}
