package pluginhost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/plugins/faulty"
)

var pidText = strconv.Itoa(os.Getpid())

// Each way not to start has an error that says what happened, in time, and
// leaves nothing (newTestHost looks).
func TestStartFails(t *testing.T) {
	t.Parallel()
	command := func(words ...string) api.PluginSpec {
		s := spec(t, faulty.Settings{})
		s.Command = words
		return s
	}
	plain := filepath.Join(shortDir(t), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	noShebang := filepath.Join(shortDir(t), "no-shebang")
	if err := os.WriteFile(noShebang, []byte("echo"), 0o700); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(shortDir(t), "token")
	if err := os.WriteFile(token, []byte("env:X\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spec api.PluginSpec
		want []string
	}{
		"reads secrets":    {spec(t, faulty.Settings{Token: "file:" + token}), []string{"token: it is text:env:X"}},
		"missing secret":   {spec(t, faulty.Settings{Token: "file:/nonexistent/x"}), []string{"token: names the file /nonexistent/x"}},
		"no command":       {command(), []string{"no command"}},
		"relative":         {command("faulty"), []string{"not an absolute path"}},
		"missing":          {command("/nonexistent/plugin"), []string{"no such file"}},
		"a folder":         {command("/tmp"), []string{"not an executable file"}},
		"not executable":   {command(plain), []string{"not an executable file"}},
		"no program":       {command(noShebang), []string{"exec format error"}},
		"exits at once":    {command("/bin/false"), []string{"exit status 1"}},
		"prints and exits": {command("/bin/echo", "not a plugin"), []string{"exit status 0", "not a plugin"}},
		"wrong version":    {command("/bin/echo", "1|9|unix|/tmp/x|grpc|"), []string{"incompatible", "9"}},
		"wrong core":       {command("/bin/echo", "7|1|unix|/tmp/x|grpc|"), []string{"incompatible", "7"}},
		"net/rpc":          {command("/bin/echo", "1|1|unix|/tmp/x|netrpc|"), []string{"netrpc"}},
		"endless line":     {command("/bin/sh", "-c", "head -c 300000 /dev/zero"), []string{"exit status 0"}},
		"crashes":          {spec(t, faulty.Settings{}, "crash"), []string{"exit status 3", "no luck today"}},
		"hangs":            {spec(t, faulty.Settings{}, "hang"), []string{"no handshake"}},
		"refuses settings": {spec(t, faulty.Settings{Problem: "is bad"}), []string{"problem: is bad"}},
		"exits in Run":     {spec(t, faulty.Settings{Run: "exit"}), []string{"exit status 4"}},
		"fails in Run":     {spec(t, faulty.Settings{Run: "error"}), []string{"run went wrong"}},
		"panics in Run":    {spec(t, faulty.Settings{Run: "panic"}), []string{"panic: run panicked"}},
		"Failed":           {spec(t, faulty.Settings{Run: "failed"}), []string{"no way to serve"}},
		"freezes":          {spec(t, faulty.Settings{Run: "freeze"}), []string{"hangs"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestHost(t, func(timing *timing) { timing.start, timing.ping = 8*time.Second, 500*time.Millisecond })
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			began := time.Now()
			_, err := h.Start(ctx, c.spec, api.PluginEvents{Ready: func(api.EndpointSet) { t.Error("ready") }})
			if err == nil {
				t.Fatal("started")
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.ContainsRune(err.Error(), 0) {
				t.Errorf("error with a NUL: %q", err)
			}
			if left, _ := filepath.Glob(h.Folder() + "/*"); len(left) != 1 {
				t.Errorf("left in the runtime folder: %v", left)
			}
			var refused *api.SettingsError
			if got := errors.As(err, &refused); got != slices.Contains([]string{"refuses settings", "reads secrets", "missing secret"}, name) {
				t.Errorf("SettingsError: %v", got)
			}
		})
	}
}

// G8, G9: nothing a plugin prints can keep it from starting or serving.
func TestOutputIsHarmless(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec api.PluginSpec
		log  []string
	}{
		"banner":                {spec(t, faulty.Settings{}, "banner"), []string{"Welcome to the faulty plugin"}},
		"flood before":          {spec(t, faulty.Settings{}, "flood"), []string{"xxxxxxxx", "cut=true"}},
		"flood without newline": {spec(t, faulty.Settings{Flood: 10 << 20}), []string{"junk", "cut=true"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestHost(t)
			p, pool := start(t, h, c.spec)
			serverPID(t, pool.wait(t, 0))
			stop(t, p)
			if !h.log.has(c.log...) {
				t.Errorf("not logged: %v", c.log)
			}
		})
	}
	t.Run("many lines", func(t *testing.T) {
		t.Parallel()
		h := newTestHost(t)
		p, pool := start(t, h, spec(t, faulty.Settings{}))
		if _, err := request(pool.wait(t, 0).Endpoints[0], "/lines?n=2000"); err != nil {
			t.Error(err)
		}
		eventually(t, "the last line, or word of its loss", func() bool {
			return h.log.has("line 1999") || h.log.has("were dropped")
		})
		stop(t, p)
	})
}
