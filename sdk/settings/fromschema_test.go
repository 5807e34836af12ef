package settings_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// What Schema says is all that Fields says: a plugin's page is as good as a module's.
func TestSchemaFieldsAreThoseOfTheStruct(t *testing.T) {
	for _, defaults := range []any{defaults(), secretSettings{}} {
		schema, err := settings.Schema(defaults)
		if err != nil {
			t.Fatal(err)
		}
		got, err := settings.SchemaFields(schema)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(settings.Fields(defaults), got); d != "" {
			t.Error(d)
		}
	}
}

func TestSchemaFieldsOfOthers(t *testing.T) {
	got, err := settings.SchemaFields(json.RawMessage(`{"type":"object","properties":{
		"port":{"type":"integer","default":5},"mode":{"enum":["a","b"]},"on":{"type":"boolean"},
		"names":{"type":"array","items":{"type":"string"}},"any":{},"group":{"type":"object","properties":{"x":{"type":"string","default":"y"}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []settings.Field{
		{Path: "port", Type: "int", Default: "5"},
		{Path: "mode", Type: "one of a, b"},
		{Path: "on", Type: "bool"},
		{Path: "names", Type: "list of string"},
		{Path: "any", Type: "any"},
		{Path: "group", Type: "group"},
		{Path: "group.x", Type: "string", Default: `"y"`},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, err := settings.SchemaFields(nil); got != nil || err != nil {
		t.Error(got, err)
	}
	if _, err := settings.SchemaFields(json.RawMessage(`{`)); err == nil {
		t.Error("half a schema is read")
	}
}

func TestSecretsOfASchemaAreResolved(t *testing.T) {
	t.Setenv("TQ_TEST_SECRET", "env:looks like one")
	schema, err := settings.Schema(secretSettings{})
	if err != nil {
		t.Fatal(err)
	}
	sent := json.RawMessage(`{"token":"env:TQ_TEST_SECRET","keys":["a"],"env":{"A":"env:TQ_TEST_SECRET","B":"text:file:x"},"other":"env:X","n":10000000000000001}`)
	resolved, problems := settings.ResolveSecrets(schema, sent)
	if problems != nil {
		t.Fatal(problems)
	}
	if !strings.Contains(string(resolved), `"other":"env:X"`) || !strings.Contains(string(resolved), "10000000000000001") {
		t.Errorf("what is no secret was touched: %s", resolved)
	}
	var got secretSettings
	// other and n are unknown to the struct, and told so.
	if p := settings.DecodeJSON(resolved, &got); len(p) != 2 {
		t.Error(p)
	}
	for name, c := range map[string][2]string{
		"token": {got.Token.Reveal(), "env:looks like one"}, "keys": {got.Keys[0].Reveal(), "a"},
		"env.A": {got.Env["A"].Reveal(), "env:looks like one"}, "env.B": {got.Env["B"].Reveal(), "file:x"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s is %q, want %q", name, c[0], c[1])
		}
	}
	_, problems = settings.ResolveSecrets(schema, json.RawMessage(`{"env":{"A":"env:TQ_TEST_MISSING"},"keys":["file:x"]}`))
	if len(problems) != 2 || problems[0].Path != "env.A" || problems[1].Path != "keys[0]" {
		t.Error(problems)
	}
	for _, odd := range []string{"", "null", "{", "5"} {
		if got, p := settings.ResolveSecrets(schema, json.RawMessage(odd)); string(got) != odd || p != nil {
			t.Errorf("%q becomes %q, %v", odd, got, p)
		}
	}
	if got, p := settings.ResolveSecrets(nil, sent); string(got) != string(sent) || p != nil {
		t.Errorf("without a schema: %s %v", got, p)
	}
}

func TestFingerprintFollowsWhatIsReferredTo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	text := json.RawMessage(`{"a":{"b":["file:` + file + `"]},"c":"env:TQ_TEST_SECRET","d":"x","n":1}`)
	seen := map[string]bool{}
	t.Setenv("TQ_TEST_SECRET", "one")
	for _, change := range []func() error{
		func() error { return nil },
		func() error { return os.WriteFile(file, []byte("one"), 0o600) },
		func() error { return os.WriteFile(file, []byte("two"), 0o600) },
		func() error { return os.Setenv("TQ_TEST_SECRET", "two") }, //nolint:usetesting // put back by t.Setenv
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		print := settings.Fingerprint(text)
		if print == "" || seen[print] || print != settings.Fingerprint(text) || strings.Contains(print, "two") {
			t.Errorf("%q", print)
		}
		seen[print] = true
	}
	for _, none := range []string{"", "{", `{"a":"b"}`, `[1]`} {
		if got := settings.Fingerprint(json.RawMessage(none)); got != "" {
			t.Errorf("%s has %q", none, got)
		}
	}
}
