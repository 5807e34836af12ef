package php

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/settings"
)

func TestSettingsAreWellFormed(t *testing.T) {
	for _, p := range settings.CheckStruct(defaultSettings()) {
		t.Errorf("%s: %s", p.Path, p.Message)
	}
	d := New(slogDiscard()).Describe()
	if d.Name != "php" || !strings.Contains(string(d.SettingsSchema), `"admin_settings"`) {
		t.Errorf("%+v", d)
	}
}

func TestGoodSettingsHaveNoProblem(t *testing.T) {
	needPHP(t)
	for _, text := range []string{
		``, `{}`,
		`{"settings": {"display_errors": "0", "opcache.enable": "1"}, "admin_settings": {"memory_limit": "128M", "open_basedir": "public:/tmp"}, "env": {"APP_ENV": "x", "_": ""}}`,
		`{"binary": "php-cgi"}`,
		`{"settings": {"error_reporting": "-1"}}`, `{"settings": {"error_reporting": ""}, "admin_settings": {"error_reporting": "E_ALL & ~E_DEPRECATED"}}`,
	} {
		if got := New(slogDiscard()).Check(t.Context(), newWorker(t, text)); len(got) > 0 {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	needPHP(t)
	known := newWorker(t, `{"settings": {"a b": "1", "precisoin": "1"}, "env": {"1A": "x"}}`)
	if got := New(slogDiscard()).Check(t.Context(), known); len(got) != 3 {
		t.Errorf("with an unknown name: %v", got)
	}
	w := newWorker(t, `{"binary": "/nowhere/php-cgi", "config_file": "missing.ini", "colour": "red",
		"settings": {"a b": "1", "precision": "1\n2", "doc_root": "/", "error_reporting": "all"},
		"admin_settings": {"error_reporting": "E_NOTCE", "memory_limit": 128, "x]": "1", "cgi.fix_pathinfo": "0"},
		"env": {"1A": "x", "PHP_FCGI_CHILDREN": "9", "NUL": "a\u0000b"}}`)
	w.DocumentRoot += "/missing"
	var paths []string
	for _, p := range New(slogDiscard()).Check(t.Context(), w) {
		paths = append(paths, p.Path)
		if p.Message == "" {
			t.Errorf("no message for %q", p.Path)
		}
	}
	slices.Sort(paths)
	want := []string{
		"", `admin_settings["cgi.fix_pathinfo"]`, "admin_settings.error_reporting", "admin_settings.memory_limit", `admin_settings["x]"]`, "binary", "colour", "config_file",
		"env.1A", "env.NUL", "env.PHP_FCGI_CHILDREN", "settings.doc_root", "settings.error_reporting", "settings.precision", `settings["a b"]`,
	}
	slices.Sort(want)
	if d := cmp.Diff(want, paths); d != "" {
		t.Error(d)
	}
}

// problem returns the only problem of a worker, which Run refuses too.
func problem(t *testing.T, w sdk.Worker) string {
	t.Helper()
	got := New(slogDiscard()).Check(t.Context(), w)
	if len(got) != 1 {
		t.Fatalf("problems: %v", got)
	}
	if err := New(slogDiscard()).Run(t.Context(), w, func(sdk.State) {}); err == nil || !strings.Contains(err.Error(), got[0].Message) {
		t.Errorf("Run: %v", err)
	}
	return got[0].Path + ": " + got[0].Message
}

func TestBadBinaries(t *testing.T) {
	script := func(text string) string {
		name := filepath.Join(t.TempDir(), "php-cgi")
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, c := range []struct{ name, binary, want string }{
		{"missing", "/nowhere/php-cgi", "apt-get install php-cgi"},
		{"not on PATH", "php-cgi-of-nobody", "apt-get install php-cgi"},
		{"not PHP", script("echo GNU bash"), "is not PHP"},
		{"PHP for the command line", script("echo 'PHP 8.2.36 (cli) (built: x)'"), "PHP for cli, not php-cgi"},
		{"fails", script("echo it broke >&2; exit 3"), "it broke"},
		{"does not run scripts", script("echo 'PHP 8.2.36 (cgi-fcgi) (built: x)'"), "does not run a script"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := problem(t, newWorker(t, `{"binary": "`+c.binary+`"}`))
			if !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q in it", got, c.want)
			}
		})
	}
}

func TestNoBinaryOnPathSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if got := problem(t, newWorker(t, ``)); !strings.Contains(got, "binary: ") || !strings.Contains(got, "apt-get install php-cgi") {
		t.Errorf("got %q", got)
	}
}

func TestMisspeltSettingIsAProblem(t *testing.T) {
	needPHP(t)
	got := problem(t, newWorker(t, `{"admin_settings": {"open_basedirs": "/"}}`))
	if !strings.HasPrefix(got, "admin_settings.open_basedirs: ") || !strings.Contains(got, "knows no such setting") {
		t.Errorf("got %q", got)
	}
}

// The sections that make admin settings hold stand behind the base.
func TestSyntaxErrorInPhpIniIsAProblem(t *testing.T) {
	needPHP(t)
	w := newWorker(t, `{"config_file": "my.ini"}`)
	if err := os.WriteFile(filepath.Join(w.Folder, "my.ini"), []byte("a=1\n[broken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := problem(t, w); !strings.Contains(got, "syntax error") || !strings.Contains(got, "line 2") {
		t.Errorf("got %q", got)
	}
}

func TestNewestBinaryWins(t *testing.T) {
	dir := t.TempDir()
	for name, version := range map[string]string{"php-cgi8.4": "8.4.2", "php-cgi": "8.10.1", "php-cgi7.4": "7.4.33", "php-cgi-tool": "9.9.9"} {
		text := "#!/bin/sh\necho 'PHP " + version + "-dev (cgi-fcgi) (built: x)'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/nowhere")
	got, err := asker{cache: &cache{}}.findBinary(t.Context(), "", "/")
	if err != nil || got.version != "8.10.1" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		``: `""`, `a`: `'a'`, `'`: `"'"`, `a'b`: `'a'"'"'b'`, `${X}`: `'${X}'`, `"`: `'"'`,
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestLevelsOfErrorsStandBare(t *testing.T) {
	for value, bare := range map[string]bool{
		"E_ALL": true, "E_ALL & ~E_NOTICE": true, "E_ALL&~(E_USER_NOTICE|E_DEPRECATED)": true, "(E_ALL ^ (E_ERROR | 8))": true, "!E_ALL": true, "1 | E_PARSE": true,
		"-1 & ~E_DEPRECATED": true,
		"":                   false, "E_ALL &": false, "E_ALL (E_ERROR)": false, "(E_ALL": false, "E_ALL)": false, "E_NO_SUCH | 1": false, "E_ALL; E_ALL": false, "E_ALL\n": false,
		"E_USER": false, "E_USER_PARSE": false, "()": false, "-1": false, "all": false, "007": false, "1|2": false,
		"(E_ALL)(E_NOTICE)": false, "8(E_ALL)": false, "E_ALL & ~(E_NOTICE)8": false, "E_ALL & \x00": false, "\x00E_ALL": false,
	} {
		want := quote(value)
		if bare {
			want = "0|" + value
		}
		if got := valueOf(value); got != want {
			t.Errorf("%q is written %s", value, got)
		}
	}
}

// PHP parses whatever is taken for levels, and gives the number that it gives for them alone.
func TestLevelsAreWhatPHPParses(t *testing.T) {
	needPHP(t)
	parts := []string{"E_ALL", "E_NOTICE", "8", "-1", "(", ")", "(", ")", "|", "&", "^", "~", "!", " "}
	random := rand.New(rand.NewPCG(1, 2))
	var taken []string
	for len(taken) < 3000 {
		var b strings.Builder
		for range 1 + random.IntN(12) {
			b.WriteString(parts[random.IntN(len(parts))])
		}
		if isLevels(b.String()) {
			taken = append(taken, b.String())
		}
	}
	text, err := json.Marshal(taken)
	if err != nil {
		t.Fatal(err)
	}
	h := start(t, newWorker(t, "", "parse.php", `<?php
		foreach (json_decode(file_get_contents("all.json")) as $e) {
			$with = @parse_ini_string("a=0|$e\nb=c"); $alone = @parse_ini_string("a=$e");
			if (($with["b"] ?? "") !== "c" || !is_numeric($with["a"]) || (int) $with["a"] !== (int) $alone["a"]) echo "$e: ", json_encode([$with, $alone]), "\n";
		}`, "all.json", string(text)))
	if got := h.get("parse.php"); got != "" {
		t.Errorf("%.2000s", got)
	}
}

func TestAbsolutePaths(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "public": "/w/public", "public/": "/w/public/", ".": "/w", "/tmp:public:../x": "/tmp:/w/public:/x",
	} {
		if got := absolutePaths(in, "/w"); got != want {
			t.Errorf("absolutePaths(%q) = %q, want %q", in, got, want)
		}
	}
}
