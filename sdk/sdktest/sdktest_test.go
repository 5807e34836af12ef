package sdktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/sdk"
)

// The test binary is the plugin, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "plugin" {
		sdk.ServePlugin(&tested{Plugin: sdk.HandlerPlugin(http.NotFoundHandler(), sdk.Logger()), fault: os.Args[2]})
		syscall.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// tested keeps the contract, but for its fault.
type tested struct {
	sdk.Plugin
	fault string
}

func (p *tested) Check(_ context.Context, w sdk.Worker) []sdk.Problem {
	if bad := string(w.Settings) == `"bad"`; bad != (p.fault == "check") {
		return []sdk.Problem{{Message: "must not be bad"}}
	}
	return nil
}

func (p *tested) Run(ctx context.Context, w sdk.Worker, report func(sdk.State)) error {
	switch p.fault {
	case "run":
		return errors.New("no")
	case "outside":
		w.RuntimeFolder = filepath.Dir(filepath.Dir(w.RuntimeFolder))
		_ = os.Remove(filepath.Join(w.RuntimeFolder, "fcgi.sock"))
	}
	return p.Plugin.Run(ctx, w, report)
}

func (p *tested) Stop(ctx context.Context) {
	if p.fault == "stop" {
		select {}
	}
	p.Plugin.Stop(ctx)
}

func options(fault string) Options {
	return Options{Command: []string{os.Args[0], "plugin", fault}, Settings: json.RawMessage(`"good"`), BadSettings: json.RawMessage(`"bad"`)}
}

func TestGoodPlugin(t *testing.T) { Run(t, options("none")) }

// A check must have been seen to fail.
func TestBadPlugins(t *testing.T) {
	if testing.Short() {
		t.Skip("the suite's own controls")
	}
	for fault, want := range map[string]string{
		"check":   "check: good settings are refused",
		"run":     "serve: no",
		"outside": "outside of the runtime folder",
	} {
		t.Run(fault, func(t *testing.T) {
			found := fmt.Sprint(errors.Join(Check(t.Context(), options(fault), slog.New(slog.DiscardHandler))...))
			if !strings.Contains(found, want) {
				t.Errorf("found %s, want %q", found, want)
			}
		})
	}
}
