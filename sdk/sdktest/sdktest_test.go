package sdktest

import (
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/plugins/faulty"
)

// The test binary is the plugin, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "faulty":
			faulty.Main(strings.Join(os.Args[2:], " "))
			syscall.Exit(0) // os.Exit waits a second under the race detector
		case faulty.LeakArg:
			faulty.LeakMain()
		}
	}
	// Most of the time is spent waiting for processes, not computing.
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func options(mode ...string) Options {
	return Options{
		Command:  append([]string{os.Args[0], "faulty"}, mode...),
		Settings: json.RawMessage(`{}`), BadSettings: json.RawMessage(`{"problem":"must not be bad"}`), Echo: "/echo",
		Large: 32 << 20, // the race detector makes bytes dear
	}
}

func TestGoodPlugin(t *testing.T) {
	t.Parallel()
	Run(t, options())
}

// A check must have been seen to fail: each breach is found by the case that is
// for it, and what has nothing to do with it passes.
func TestBreachesAreFound(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the suite's own controls")
	}
	for name, c := range map[string]struct {
		mode     []string
		settings string
		finds    string   // the case
		says     string   // of its error
		passes   []string // others that are run as well
	}{
		"no handshake":           {[]string{"hang"}, "", "handshake", "no handshake", nil},
		"crash":                  {[]string{"crash"}, "", "handshake", "no luck today", nil},
		"never ready":            {nil, `{"run":"error"}`, "serve", "run went wrong", []string{"check"}},
		"runs alone":             {[]string{"breach", "cheerful"}, "", "alone", "it goes on", []string{"handshake"}},
		"any version":            {[]string{"breach", "liar"}, "", "version", "which does not exist", []string{"handshake", "alone"}},
		"describes differently":  {[]string{"breach", "fickle"}, "", "handshake", "in two ways", []string{"serve"}},
		"refuses good settings":  {nil, `{"problem":"is bad"}`, "check", "good settings are refused", []string{"alone"}},
		"socket elsewhere":       {[]string{"breach", "elsewhere"}, "", "serve", "outside of the runtime folder", []string{"check"}},
		"dies of a pause":        {[]string{"breach", "delicate"}, "", "slow", "exit status 6", nil},
		"few connections":        {[]string{"breach", "narrow"}, "", "concurrent", "at once failed", []string{"serve"}},
		"does not stream":        {[]string{"breach", "hoarder"}, "", "bodies", "", []string{"serve"}},
		"hoards":                 {[]string{"breach", "hoarder"}, "", "backpressure", "", []string{"cancel"}},
		"does not see the leave": {[]string{"breach", "deaf"}, "", "cancel", "", []string{"stream"}},
		"dies of SIGTERM":        {[]string{"breach", "mortal"}, "", "signals", "", []string{"serve"}},
		"ignores Stop":           {nil, `{"stop":"hang"}`, "stop", "stopping", []string{"alone"}},
		"cuts requests":          {[]string{"breach", "hasty"}, "", "stop-busy", "", []string{"stream"}},
		"leaves a child":         {[]string{"breach", "parent"}, "", "orphan", "are left", []string{"stop", "killed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(c.mode...)
			if c.settings != "" {
				o.Settings = json.RawMessage(c.settings)
			}
			o.Only = append(c.passes, c.finds)
			results := Check(t.Context(), o, slog.New(slog.DiscardHandler), nil)
			if failed := Failed(results); !slices.Equal(failed, []string{c.finds}) || len(results) != len(o.Only) {
				t.Errorf("failed: %v of %d, want %s", failed, len(results), c.finds)
			}
			for _, r := range results {
				if r.Err != nil && !strings.Contains(r.Err.Error(), c.says) {
					t.Errorf("%s: %v, want %q", r.Name, r.Err, c.says)
				}
			}
		})
	}
}

func TestLeftOutAndReport(t *testing.T) {
	t.Parallel()
	o := options()
	o.Echo, o.Only = "", []string{"stream", "handshake"}
	var told []Result
	results := Check(t.Context(), o, slog.New(slog.DiscardHandler), func(r Result) { told = append(told, r) })
	if len(results) != 2 || len(told) != 2 || results[1].Skipped == "" || results[0].Err != nil {
		t.Errorf("%+v", results)
	}
	var text strings.Builder
	for _, r := range append(results, Result{Name: "x", What: "it does", Err: errors.New("no\nway")}) {
		if err := r.Write(&text); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{"ok    handshake     it starts", "skip  stream", "no path is named", "FAIL  x             it does\n                    no\n                    way\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
}
