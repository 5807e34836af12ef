package conf_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

type safeConfig struct {
	Token settings.Secret            `conf:"token" doc:"T." source:"T"`
	Keys  map[string]settings.Secret `conf:"keys" doc:"T." source:"T"`
	List  []settings.Secret          `conf:"list" doc:"T." source:"T"`
}

func TestShow(t *testing.T) {
	t.Setenv("TQ_TEST_TOKEN", "hunter2")
	safe := conf.NewSection("safe", func() safeConfig { return safeConfig{} })
	file := write(t, `web:
  tls: {port: 443}
  headers: {a.b: x, on: "yes"}
  routes:
    - path: /a
static:
safe: {token: hunter2, keys: {A: "env:TQ_TEST_TOKEN", B: hunter2}, list: [hunter2]}
`)
	tree, err := conf.Load(conf.Options{
		Files: []string{file}, Environ: []string{"TQSERVER_WEB__HEADERS__C=d", "TQSERVER_WEB__IDLE_TIMEOUT=5s"},
		Sets: []string{"web.mode=\"0600\""}, Sections: []conf.Spec{web(), static(), safe},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := tree.Show(conf.ShowOptions{Origins: true}, web(), static(), safe)
	if err != nil {
		t.Fatal(err)
	}
	want := `web:
  listen: ['127.0.0.1:8080'] # default: T
  idle_timeout: 5s # environment TQSERVER_WEB__IDLE_TIMEOUT
  body_limit: 8MiB # default: T
  mode: "0600" # --set web.mode
  verbose: false # default: T
  tls:
    port: 443 # file FILE:2:9
    name: "" # default: T
  headers:
    a.b: x # file FILE:3:13
    c: d # environment TQSERVER_WEB__HEADERS__C
    "on": "yes" # file FILE:3:21
  routes: [{cache: false, path: /a}] # file FILE:4:3
static:
  "on": false # default: T
safe:
  token: '[secret]' # file FILE:7:8
  keys:
    A: env:TQ_TEST_TOKEN # file FILE:7:31
    B: '[secret]' # file FILE:7:55
  list: ['[secret]'] # file FILE:7:68
`
	if d := cmp.Diff(want, strings.ReplaceAll(string(got), file, "FILE")); d != "" {
		t.Error(d)
	}

	// Without origins it reads back as the same configuration.
	plain, err := tree.Show(conf.ShowOptions{}, web(), static())
	if err != nil {
		t.Fatal(err)
	}
	again, err := conf.Load(conf.Options{Files: []string{write(t, string(plain))}, Sections: []conf.Spec{web(), static()}})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := web().Decode(tree)
	second, err := web().Decode(again)
	if d := cmp.Diff(first, second); d != "" || err != nil {
		t.Error(err, d)
	}

	for _, origins := range []bool{false, true} {
		text, err := tree.Show(conf.ShowOptions{JSON: true, Origins: origins}, web(), static(), safe)
		if err != nil || !json.Valid(text) || strings.Contains(string(text), "hunter2") {
			t.Errorf("%v: %s", err, text)
		}
	}
	var values []conf.ShownValue
	text, err := tree.Show(conf.ShowOptions{JSON: true, Origins: true}, web())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if v.Path == "web.tls.port" {
			if d := cmp.Diff(conf.ShownValue{Path: "web.tls.port", Value: 443.0, Layer: "file", Name: file, Line: 2, Column: 9}, v); d != "" {
				t.Error(d)
			}
			return
		}
	}
	t.Errorf("no web.tls.port in %s", text)
}
