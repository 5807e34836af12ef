package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/module"
	"github.com/mevdschee/tqserver/sdk/settings"
)

type fullConfig struct {
	Wait  time.Duration              `conf:"wait" doc:"How long it waits." source:"a book"`
	Keys  map[string]settings.Secret `conf:"keys" doc:"Keys by name." source:"none"`
	Names []string                   `conf:"names" doc:"Its names." source:"none"`
	Pool  poolConfig                 `conf:"pool" doc:"The pool."`
}

type poolConfig struct {
	Size int `conf:"size" doc:"How many." unit:"things" source:"a guess"`
}

// fullBuild has a module "full", which reads worker.yaml, too.
func fullBuild() Build {
	section := conf.NewSection("full", func() fullConfig { return fullConfig{Wait: time.Minute, Pool: poolConfig{Size: 3}} })
	return Build{Modules: []module.Descriptor{{
		ID: "full", Summary: "Has everything.", Section: section, Options: fx.Options(),
		Worker: &conf.WorkerSpec{
			Defaults: poolConfig{Size: 1}, Required: []string{"size"},
			Types: []conf.WorkerType{{Name: "go", Defaults: fullConfig{Pool: poolConfig{Size: 2}}}},
		},
	}}}
}

func TestExplain(t *testing.T) {
	d, err := describe(fullBuild())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][]string{
		"full":          {"Has everything.", "full.pool.size", "full.wait"},
		"full.pool":     {"The pool.", "full.pool.size", "3", "How many."},
		"full.wait":     {"duration (ns, us, ms, s, m, h)", "How long it waits.", "1m  (a book)", "full: {wait: …}", "TQSERVER_FULL__WAIT=…", "--set full.wait=…"},
		"full.keys":     {"map of secret", "file:/run/secrets/x"},
		"full.keys.any": {"full.keys: map of secret"},
		"full.names[3]": {"full.names: list of string"},
		"worker":        {"worker.go.pool.size", "worker.size"},
		"worker.size":   {"int (things)", "1  (a guess)", "config/worker.yaml of the worker: size: …"},
		"worker.go.pool.size": {
			"2  (a guess)", "go: {pool: {size: …}}",
		},
		"server.drain_timeout": {"30s"},
	} {
		var out strings.Builder
		if err := d.explain(&out, key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		for _, want := range want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", key, want, out.String())
			}
		}
	}
	for key, want := range map[string]string{
		"ful":           `unknown key "ful"; did you mean full?`,
		"full.wiat":     `full: unknown key "wiat"; did you mean wait?`,
		"full.zzz":      `full: unknown key "zzz"; known are keys, names, pool, wait`,
		"full.pool.zzz": `full.pool: unknown key "zzz"; known are size`,
		"worker.wait":   `worker: unknown key "wait"; known are go, size; elsewhere there is full.wait, worker.go.wait`,
		"pool.size":     `unknown key "pool"; known are full, log, plugins, server, worker; elsewhere there is full.pool.size, worker.go.pool.size`,
		"worker.ruby":   `worker: unknown key "ruby"`,
		"":              `unknown key ""`,
	} {
		var out strings.Builder
		if err := d.explain(&out, key); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// A check must have been seen to fail: a setting that does not explain itself
// keeps the reference from being made, and the message says what it lacks.
func TestReferenceNeedsEveryTag(t *testing.T) {
	type noDoc struct {
		A string `conf:"a" source:"none"`
	}
	type noSource struct {
		A string `conf:"a" doc:"A."`
	}
	type noUnit struct {
		A int `conf:"a" doc:"A." source:"none"`
	}
	for want, spec := range map[string]conf.Spec{
		"x.a: needs a doc tag":    conf.NewSection("x", func() noDoc { return noDoc{} }),
		"x.a: needs a source tag": conf.NewSection("x", func() noSource { return noSource{} }),
		"x.a: needs a unit tag":   conf.NewSection("x", func() noUnit { return noUnit{} }),
	} {
		b := Build{Modules: []module.Descriptor{{ID: "x", Summary: "X.", Section: spec, Options: fx.Options()}}}
		if _, err := Reference(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := Reference(fullBuild()); err != nil {
		t.Error(err)
	}
}

func TestShow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("full: {wait: 5s, keys: {a: hunter2}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TQSERVER_FULL__POOL__SIZE", "7")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"wait: 5s\n", "a: '[secret]'", "level: info\n", "size: 7\n"}},
		{[]string{"--origin"}, []string{"wait: 5s # file " + file + ":1:8", "level: info # default: log/slog", "size: 7 # environment TQSERVER_FULL__POOL__SIZE", "names: [x] # --set full.names"}},
		{[]string{"--format", "json", "full"}, []string{`"wait": "5s"`}},
		{[]string{"--format", "xml"}, []string{"write yaml or json"}},
		{[]string{"ful"}, []string{`unknown section "ful"; did you mean full?`}},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"config", "show", "--config", file, "--set", "full.names=[x]"}, c.args...)
		run(t.Context(), fullBuild(), args, &out, &errs)
		for _, want := range c.want {
			if !strings.Contains(out.String()+errs.String(), want) {
				t.Errorf("%v: no %q in\n%s%s", c.args, want, out.String(), errs.String())
			}
		}
		if strings.Contains(out.String(), "hunter2") {
			t.Errorf("a secret is shown: %s", out.String())
		}
	}
}
