package settings_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/sdk/settings"
)

type secretSettings struct {
	Token  settings.Secret            `conf:"token" doc:"T." source:"T"`
	Keys   []settings.Secret          `conf:"keys" doc:"T." source:"T"`
	Env    map[string]settings.Secret `conf:"env" doc:"T." source:"T"`
	hidden settings.Secret
}

func TestSecretIsRead(t *testing.T) {
	t.Setenv("TQ_TEST_SECRET", "from env")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]struct{ value, reference string }{
		"itself":             {"itself", ""},
		"":                   {"", ""},
		"file:" + file:       {"from file", "file:" + file},
		"env:TQ_TEST_SECRET": {"from env", "env:TQ_TEST_SECRET"},
		"text:env:X":         {"env:X", ""},
		"https://a:b@c":      {"https://a:b@c", ""},
	} {
		var s secretSettings
		if p := settings.Decode(map[string]any{"token": text}, &s); p != nil {
			t.Errorf("%s: %v", text, p)
		}
		if s.Token.Reveal() != want.value || s.Token.Reference() != want.reference || s.Token.IsZero() != (want.value == "") {
			t.Errorf("%s: is %q from %q", text, s.Token.Reveal(), s.Token.Reference())
		}
	}
	if !settings.NewSecret("a").Equal(settings.NewSecret("a")) || settings.NewSecret("a").Equal(settings.Secret{}) {
		t.Error("equality is wrong")
	}
}

// However it is printed, nobody reads it.
func TestSecretIsMasked(t *testing.T) {
	const value = "hunter2hunter2"
	s := secretSettings{hidden: settings.NewSecret(value)}
	if p := settings.Decode(map[string]any{
		"token": value, "keys": []any{value}, "env": map[string]any{"A": value},
	}, &s); p != nil {
		t.Fatal(p)
	}
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).Info("x", "token", s.Token, "all", s, "keys", s.Keys)
	}
	fields := fmt.Sprint(settings.Fields(s))
	schema, err := settings.Schema(s)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"%v": fmt.Sprintf("%v", s), "%+v": fmt.Sprintf("%+v", &s), "%#v": fmt.Sprintf("%#v", s), "String": s.Token.String(),
		"%q": fmt.Sprintf("%q", s.Token), "%x": fmt.Sprintf("%x", s.Token), "JSON": string(asJSON), "log": log.String(),
		"fields": fields, "schema": string(schema),
	} {
		if strings.Contains(text, value) || strings.Contains(text, fmt.Sprintf("%x", value)) {
			t.Errorf("%s shows it: %s", name, text)
		}
	}
	if !strings.Contains(string(asJSON), settings.Masked) || !strings.Contains(log.String(), settings.Masked) {
		t.Errorf("not masked: %s\n%s", asJSON, log.String())
	}
	if !strings.Contains(string(schema), `"writeOnly":true`) {
		t.Errorf("the schema does not mark it: %s", schema)
	}
}

// Neither do messages say it.
func TestSecretProblems(t *testing.T) {
	t.Setenv("TQ_TEST_EMPTY", "")
	folder := t.TempDir()
	for name, text := range map[string]string{"empty": "\n", "large": strings.Repeat("x", 70<<10)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		src  any
		want string
	}{
		{"env:TQ_TEST_MISSING", `names the environment variable "TQ_TEST_MISSING", which is not set`},
		{"env:TQ_TEST_EMPTY", "which is empty"},
		{"file:secret", "write its whole path"},
		{"file:" + folder + "/none", "/none, which cannot be read: no such file or directory"},
		{"file:" + folder, "it is not a regular file"},
		{"file:" + folder + "/empty", "it is empty"},
		{"file:" + folder + "/large", "it is larger than 64 KiB"},
		{json.Number("12345"), "is a number, not text; put it in quotes"},
		{true, "is true or false, not text"},
		{nil, "is empty"},
	} {
		var s secretSettings
		p := settings.Decode(map[string]any{"token": tt.src}, &s)
		if len(p) != 1 || !strings.Contains(p[0].Message, tt.want) || strings.Contains(p[0].Message, "12345") {
			t.Errorf("%v: %v", tt.src, p)
		}
	}
	var s secretSettings
	if p := settings.Decode(map[string]any{"keys": "hunter2"}, &s); len(p) != 1 || strings.Contains(p[0].Message, "hunter2") {
		t.Error(p)
	}
}
