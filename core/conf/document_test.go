package conf_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

type workerConfig struct {
	Path string `conf:"path" doc:"URL prefix."`
	Type string `conf:"type" doc:"Plugin."`
}

const workerYAML = `path: /blog
type: php
php:
  settings: {display_errors: "0", opcache.enable: "1"}
  version: 1.10
  pool:
    max_workers: 8
    idle: ~
`

func document(t *testing.T, text string) *conf.Document {
	t.Helper()
	d, err := conf.LoadDocument(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocument(t *testing.T) {
	d := document(t, workerYAML)
	cfg := workerConfig{Type: "go"}
	if p := d.Decode(&cfg, "php", "go"); p != nil {
		t.Fatal(p)
	}
	if cfg != (workerConfig{"/blog", "php"}) {
		t.Error(cfg)
	}
	section, ok := d.Section("php")
	if !ok {
		t.Fatal("no section")
	}
	text, err := json.Marshal(section)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"pool":{"idle":null,"max_workers":8},"settings":{"display_errors":"0","opcache.enable":"1"},"version":1.10}`
	if d := cmp.Diff(want, string(text)); d != "" {
		t.Error(d)
	}
	delete(section, "pool")
	if again, _ := d.Section("php"); again["pool"] == nil {
		t.Error("the caller changed the document")
	}
	if _, ok := d.Section("go"); ok {
		t.Error("a section that is not there")
	}
	if empty, ok := document(t, "go:\n").Section("go"); !ok || len(empty) != 0 {
		t.Error(empty, ok)
	}
}

func TestDocumentPlaces(t *testing.T) {
	d := document(t, workerYAML+"list:\n- a\n- x: {y: 1}\n")
	tests := []struct{ prefix, path, want string }{
		{"", "path", ":1:1: path: m"},
		{"php", "pool.max_workers", ":7:5: php.pool.max_workers: m"},
		{"php", "pool.min_workers", ":6:3: php.pool.min_workers: m"},
		{"php.pool", "max_workers", ":7:5: php.pool.max_workers: m"},
		{"php", "", ":3:1: php: m"},
		{"php", "binary", ":3:1: php.binary: m"},
		{"php", `settings["opcache.enable"]`, `:4:35: php.settings["opcache.enable"]: m`},
		{"php", "settings.opcache.enable", ":4:35: php.settings.opcache.enable: m"},
		{"php", "settings.opcache.enabled", ":4:3: php.settings.opcache.enabled: m"},
		{"php", "pool.max_workers.x", ":7:5: php.pool.max_workers.x: m"},
		{"list", "[1].x.y", ":11:7: list[1].x.y: m"},
		{"list", "[7]", ":9:1: list[7]: m"},
		{"", "nowhere.at.all", ": nowhere.at.all: m"},
		{"", "", ": m"},
	}
	for _, tt := range tests {
		got := d.Problems(tt.prefix, []settings.Problem{{Path: tt.path, Message: "m"}})
		if len(got) != 1 || got[0].String() != d.Path()+tt.want {
			t.Errorf("%s + %s: got %v, want %s", tt.prefix, tt.path, got, tt.want)
		}
	}
}

func TestDocumentProblems(t *testing.T) {
	d := document(t, "path: 5\ntyp: php\nphp:\n  mode: 0660\n  n: [1, 1_000]\n  a: 1\n  a: 2\ngo: yes\n")
	section, _ := d.Section("php")
	if _, err := json.Marshal(section); err != nil {
		t.Error(err)
	}
	other := document(t, "type: []\n")
	var cfg workerConfig
	err := conf.Err(d.Decode(&cfg, "php", "go"), nil, other.Decode(&cfg))
	want := strings.NewReplacer("FILE", d.Path(), "OTHER", other.Path()).Replace(`FILE:1:1: path: 5 is a number, not text; put it in quotes: "5"
FILE:2:1: typ: unknown key "typ"; did you mean type?
FILE:4:3: php.mode: 0660 is not a plain number; write it in decimal digits, or in quotes if it is text: "0660"
FILE:5:10: php.n[1]: 1_000 is not a plain number; write it in decimal digits, or in quotes if it is text: "1_000"
FILE:7:3: php.a: repeats the key of line 6
FILE:8:1: go: must be a group of settings, one key: value per line below it
OTHER:1:1: type: a list cannot stand here; write text`)
	if err == nil {
		t.Fatal("no error")
	}
	if d := cmp.Diff(want, err.Error()); d != "" {
		t.Error(d)
	}
	if err := conf.Err(nil, nil); err != nil {
		t.Error(err)
	}
	if p := conf.ProblemsOf(errors.New("x")); len(p) != 1 || p[0].String() != "x" {
		t.Error(p)
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, []byte("a: "+strings.Repeat("x", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "gone"): "no such file or directory",
		dir:                        "is not a regular file",
		fifo:                       "is not a regular file",
		large:                      "is larger than 1 MiB",
	} {
		_, fromLoad := conf.Load(conf.Options{Files: []string{path}, Sets: []string{"x"}})
		_, fromDocument := conf.LoadDocument(path)
		for _, err := range []error{fromLoad, fromDocument} {
			if err == nil || !strings.HasPrefix(err.Error(), path+": "+want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		if n := len(conf.ProblemsOf(fromLoad)); n != 2 { // the bad --set is told as well
			t.Errorf("%d problems: %v", n, fromLoad)
		}
	}
}

// A file made to be slow or large to work on is refused soon.
func TestHostileFilesAreQuick(t *testing.T) {
	wide := "a: {}\nx: &x [" + strings.Repeat("y,", 100_000) + "]\nz: [" + strings.Repeat("*x,", 100_000) + "]\n"
	for name, text := range map[string]string{
		"many aliases": wide,
		"deep flow":    "a: " + strings.Repeat("[", 100_000),
		"deep block":   strings.Repeat("- ", 50_000) + "a",
		"many keys":    manyKeys(60_000),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			tree, err := conf.Load(conf.Options{Files: []string{write(t, text)}})
			if err == nil {
				err = tree.Check(web())
			}
			if err == nil {
				t.Error("no error")
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("took %v", d)
			}
			t.Log(time.Since(start), len(err.Error()))
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("k" + string(rune('a'+i%26)) + strings.Repeat("x", i%7) + ":\n")
	}
	return b.String()
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(workerYAML), "web.tls.port=1", "[a, b]")
	f.Add([]byte("web: &a {x: *a}\n<<: 1\n? [a]\n: b\n"), "a=", "a: b")
	f.Fuzz(func(t *testing.T, text []byte, set, value string) {
		path := filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		tree, err := conf.Load(conf.Options{Files: []string{path}, Sets: []string{set}, Environ: []string{"TQSERVER_WEB__LISTEN=" + value}})
		if err == nil {
			_ = tree.Check(web(), static())
		}
		if d, err := conf.LoadDocument(path); err == nil {
			cfg := webDefaults()
			d.Decode(&cfg, "php")
			section, _ := d.Section("php")
			if _, err := json.Marshal(section); err != nil {
				t.Error(err)
			}
		}
	})
}
