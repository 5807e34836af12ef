package conf_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// webConfig and poolConfig stand for the sections of two modules.
type webConfig struct {
	Listen      []string          `conf:"listen" doc:"Addresses." source:"T"`
	IdleTimeout time.Duration     `conf:"idle_timeout" doc:"Idle time; 0 means none." source:"T"`
	BodyLimit   settings.Bytes    `conf:"body_limit" doc:"Bytes of a body; 0 means no limit." source:"T"`
	Mode        settings.FileMode `conf:"mode" doc:"Mode of a unix socket." source:"T"`
	Verbose     bool              `conf:"verbose" doc:"Whether it talks." source:"T"`
	TLS         tlsConfig         `conf:"tls" doc:"Encryption." source:"T"`
	Headers     map[string]string `conf:"headers" doc:"Headers." source:"T"`
	Routes      []routeConfig     `conf:"routes" doc:"Routes." source:"T"`
}

type tlsConfig struct {
	Port int    `conf:"port" doc:"Port; 0 means none." source:"T" unit:"(a port)"`
	Name string `conf:"name" doc:"Name of the certificate." source:"T"`
}

func (c tlsConfig) Validate() []settings.Problem {
	if c.Port < 0 || c.Port > 65535 {
		return []settings.Problem{{Path: "port", Message: fmt.Sprintf("%d is no port", c.Port)}}
	}
	return nil
}

type routeConfig struct {
	Path  string `conf:"path" doc:"Prefix." source:"T"`
	Cache bool   `conf:"cache" doc:"Whether it is cached." source:"T"`
}

type emptyConfig struct {
	On bool `conf:"on" doc:"Nothing." source:"T"`
}

func webDefaults() webConfig {
	return webConfig{
		Listen: []string{"127.0.0.1:8080"}, IdleTimeout: time.Minute, BodyLimit: 8 << 20, Mode: 0o660,
		Routes: []routeConfig{{"/default", true}},
	}
}

func web() conf.Section[webConfig] { return conf.NewSection("web", webDefaults) }
func static() conf.Section[emptyConfig] {
	return conf.NewSection("static", func() emptyConfig { return emptyConfig{} })
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// lines loads a file and returns its problems, the folder cut off.
func lines(t *testing.T, path string) []string {
	t.Helper()
	_, err := conf.Load(conf.Options{Files: []string{path}, Sections: []conf.Spec{web(), static()}})
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*conf.Errors](err); !ok {
		t.Fatalf("%T is no *Errors: %v", err, err)
	}
	return strings.Split(strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", ""), "\n")
}

func TestGoodFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			for _, line := range lines(t, file) {
				t.Error(line)
			}
		})
	}
}

// Each bad file begins with the problems it must have, all of them and no other.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 25 {
		t.Fatal("too few files", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, finding := range compare(string(text), lines(t, file)) {
				t.Error(finding)
			}
		})
	}
}

// compare checks problems against the "# error: " lines of a file.
func compare(text string, got []string) []string {
	var findings []string
	wanted := 0
	for line := range strings.Lines(text) {
		want, ok := strings.CutPrefix(line, "# error: ")
		if !ok {
			break
		}
		wanted++
		if want = strings.TrimSpace(want); !strings.Contains(strings.Join(got, "\n"), want) {
			findings = append(findings, "no problem says "+want)
		}
	}
	if wanted == 0 || wanted != len(got) {
		findings = append(findings, fmt.Sprintf("%d problems, want %d", len(got), wanted))
	}
	if len(findings) > 0 {
		findings = append(findings, "got:\n"+strings.Join(got, "\n"))
	}
	return findings
}

// The comparison itself can fail.
func TestCompare(t *testing.T) {
	text := "# error: one\n# error: two\na: b\n"
	for _, got := range [][]string{nil, {"one"}, {"one", "other"}, {"one", "two", "three"}} {
		if compare(text, got) == nil {
			t.Errorf("%v passes", got)
		}
	}
	if compare("a: b\n", nil) == nil {
		t.Error("a file without an expectation passes")
	}
	if f := compare(text, []string{"x: one", "y: two"}); f != nil {
		t.Error(f)
	}
}

func TestLayers(t *testing.T) {
	file := write(t, `
web:
  listen: [a, b]
  idle_timeout: 5s
  tls: {port: 1, name: file}
  headers: {a.b: x, "c::d": y}
`)
	tree, err := conf.Load(conf.Options{
		Files: []string{file},
		Environ: []string{
			"PATH=/bin", "TQSERVERX=1", "TQSERVER_WEB__TLS__PORT=2", "TQSERVER_WEB__BODY_LIMIT=1kB",
			`TQSERVER_WEB__LISTEN=["c", "unix:d"]`, "TQSERVER_STATIC=",
		},
		Sets:     []string{"web.tls.port=3", "web.tls.port=4", "web.verbose=true", `web.mode="0600"`},
		Sections: []conf.Spec{web(), static()},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := web().Decode(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := webDefaults()
	want.Listen, want.IdleTimeout, want.BodyLimit, want.Mode, want.Verbose = []string{"c", "unix:d"}, 5*time.Second, 1000, 0o600, true
	want.TLS, want.Headers = tlsConfig{4, "file"}, map[string]string{"a.b": "x", "c::d": "y"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !tree.Has("static") || !tree.Has("web") || tree.Has("other") {
		t.Error("sections:", tree.Sections())
	}
}

func TestHas(t *testing.T) {
	for text, want := range map[string]bool{"static:\n": true, "static: {}\n": true, "static: ~\n": true, "static: {on: true}\n": true, "web:\n": false, "": false} {
		tree, err := conf.Load(conf.Options{Files: []string{write(t, text)}})
		if err != nil {
			t.Fatal(err)
		}
		if tree.Has("static") != want {
			t.Errorf("%q: has is %v", text, !want)
		}
	}
}

// An empty section in a later layer does not wipe out the earlier one.
func TestEmptySectionKeepsSettings(t *testing.T) {
	tree, err := conf.Load(conf.Options{Files: []string{write(t, "web: {verbose: true}\n")}, Environ: []string{"TQSERVER_WEB="}, Sets: []string{"web="}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := web().Decode(tree); err != nil || !got.Verbose {
		t.Error(got, err)
	}
}

// Four things koanf lets pass by itself, in every layer (style rule 8).
func TestStrictInEveryLayer(t *testing.T) {
	tests := []struct{ name, key, value, want string }{
		{"unknown key", "web.lisen", "[a]", `unknown key "lisen"; did you mean listen?`},
		{"text for a number", "web.tls.port", `"8"`, `"8" is text, not a number; write 8 without quotes`},
		{"number for a bool", "web.verbose", "1", "1 is not true or false"},
		{"number for a duration", "web.idle_timeout", "10", "10 has no unit; write 10s"},
		{"yes", "web.verbose", "yes", `"yes" is not true or false; write true`},
		{"octal", "web.mode", "0660", `0660 is a number, not text; put it in quotes: "0660"`},
		{"number in a list", "web.listen", "[9000]", `9000 is a number, not text; put it in quotes: "9000"`},
		{"one for a list", "web.listen", "a", `is text; it must be a list: ["a"]`},
		{"empty", "web.idle_timeout", "", "is empty; give it a value or remove the key"},
		{"scalar for a group", "web.tls", "5", "is a number; it must be a group"},
		{"scalar for a section", "web", "5", "must be a group of settings"},
		{"list for a section", "web", "[a]", "must be a group of settings"},
		{"unknown section", "wbe.x", "1", `unknown section "wbe"; did you mean web?`},
		{"validated", "web.tls.port", "70000", "70000 is no port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			variable := "TQSERVER_" + strings.ToUpper(strings.ReplaceAll(tt.key, ".", "__"))
			section, rest, _ := strings.Cut(tt.key, ".")
			text := tt.value
			for _, key := range slices.Backward(strings.Split(rest, ".")) {
				if key != "" {
					text = "{" + key + ": " + text + "}"
				}
			}
			file := write(t, section+": "+text+"\n")
			for origin, o := range map[string]conf.Options{
				file + ":1:":      {Files: []string{file}},
				variable + ":":    {Environ: []string{variable + "=" + tt.value}},
				"--set " + tt.key: {Sets: []string{tt.key + "=" + tt.value}},
			} {
				o.Sections = []conf.Spec{web(), static()}
				_, err := conf.Load(o)
				problems := conf.ProblemsOf(err)
				if len(problems) != 1 || !strings.HasPrefix(err.Error(), origin) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("want %s … %s, got %v", origin, tt.want, err)
				}
			}
		})
	}
}

func TestValuesOutsideOfFiles(t *testing.T) {
	const quote = "is not a plain value to YAML; put it in double quotes within the value"
	tests := []struct {
		name    string
		options conf.Options
		want    string
	}{
		{"a map without braces", conf.Options{Sets: []string{"web.tls.name=a: b"}}, "--set web.tls.name: " + quote},
		{"a comment", conf.Options{Sets: []string{"web.tls.name=a #b"}}, "--set web.tls.name: " + quote},
		{"only a comment", conf.Options{Sets: []string{"web.tls.name=#b"}}, "--set web.tls.name: " + quote},
		{"an address of IPv6", conf.Options{Sets: []string{"web.tls.name=[::1]:80"}}, "--set web.tls.name: " + quote},
		{"an alias", conf.Options{Sets: []string{"web.tls.name=*a"}}, "--set web.tls.name: " + quote},
		{"a list in lines", conf.Options{Environ: []string{"TQSERVER_WEB__LISTEN=- a\n- b"}}, "TQSERVER_WEB__LISTEN: " + quote},
		{"two documents", conf.Options{Environ: []string{"TQSERVER_WEB__LISTEN=a\n---\nb"}}, "TQSERVER_WEB__LISTEN: " + quote},
		{"no key", conf.Options{Sets: []string{"web.tls"}}, "--set web.tls: has no =; write section.key=value"},
		{"an empty key", conf.Options{Sets: []string{"=1"}}, "--set : is not the name of a setting"},
		{"an empty level", conf.Options{Sets: []string{"web..x=1"}}, "--set web..x: is not the name of a setting"},
		{"an entry of a list", conf.Options{Sets: []string{"web.listen[0]=1"}}, "--set web.listen[0]: is not the name of a setting"},
		{"one underscore", conf.Options{Environ: []string{"TQSERVER_WEB_LISTEN=a"}}, `web_listen: unknown section "web_listen"; known are web; two underscores separate section and key: TQSERVER_HTTP__LISTEN`},
		{"Kubernetes", conf.Options{Environ: []string{"TQSERVER_PORT=tcp://10.0.0.1:80"}}, `unknown section "port"; known are web; Kubernetes sets this variable for a Service named tqserver: say enableServiceLinks: false`},
		{"three underscores", conf.Options{Environ: []string{"TQSERVER_WEB___X=1"}}, "TQSERVER_WEB___X: is not the name of a setting"},
		{"nothing after the prefix", conf.Options{Environ: []string{"TQSERVER_=1"}}, "TQSERVER_: is not the name of a setting"},
		{"too deep", conf.Options{Sets: []string{strings.Repeat("a.", 40) + "b=1"}}, "is nested too deeply"},
		{"repeated in braces", conf.Options{Sets: []string{"web.tls={port: 1, port: 2}"}}, "--set web.tls: web.tls.port: repeats the key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Sections = []conf.Spec{web()}
			_, err := conf.Load(tt.options)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(conf.ProblemsOf(err)) != 1 {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	// What is quoted arrives whole.
	tree, err := conf.Load(conf.Options{Sets: []string{`web.tls.name="a: b #c"`, "web.listen=[unix:a/b.sock, '[::1]:80']"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := web().Decode(tree); err != nil || got.TLS.Name != "a: b #c" || got.Listen[1] != "[::1]:80" {
		t.Error(got, err)
	}
}

// Problems of all layers and of several sections come at once; those of the
// file first, in the order of its lines.
func TestAllAtOnce(t *testing.T) {
	file := write(t, "web:\n  verbose: yes\n  tls:\n    port: 99999\n  body_limit: 1\nstatic:\n  on: 0\nhtpp: {}\n")
	_, err := conf.Load(conf.Options{
		Files: []string{file}, Environ: []string{"TQSERVER_WEB__IDLE_TIMEOUT=7"}, Sets: []string{"web.mod=x"},
		Sections: []conf.Spec{web(), static()},
	})
	want := strings.ReplaceAll(`FILE:2:3: web.verbose: "yes" is not true or false; write true
FILE:4:5: web.tls.port: 99999 is no port
FILE:5:3: web.body_limit: 1 has no unit; write 1MiB
FILE:7:3: static.on: 0 is not true or false
FILE:8:1: htpp: unknown section "htpp"; known are static, web
TQSERVER_WEB__IDLE_TIMEOUT: web.idle_timeout: 7 has no unit; write 7s
--set web.mod: unknown key "mod"; did you mean mode?`, "FILE", file)
	if err == nil {
		t.Fatal("no error")
	}
	if d := cmp.Diff(want, err.Error()); d != "" {
		t.Error(d)
	}
}

// A section's Decode reports what was found while reading, without Check.
func TestDecodeReportsRepeatedKeys(t *testing.T) {
	tree, err := conf.Load(conf.Options{Files: []string{write(t, "web: {verbose: true, verbose: false}\nstatic: {}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := web().Decode(tree); err == nil || !strings.Contains(err.Error(), "repeats the key") {
		t.Error(err)
	}
	if _, err := static().Decode(tree); err != nil {
		t.Error(err)
	}
	if got := conf.ProblemsOf(tree.Check(web(), static())); len(got) != 1 {
		t.Error(got)
	}
}

func TestReference(t *testing.T) {
	if f := web().Fields()[0]; f.Path != "web.listen" {
		t.Error(f)
	}
	schema, err := conf.Schema(web(), static())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"web"`, `"static"`, `"null"`, `"additionalProperties": false`, "Idle time; 0 means none."} {
		if !strings.Contains(string(schema), want) {
			t.Errorf("schema lacks %s", want)
		}
	}
	if p := settings.CheckStruct(webDefaults()); p != nil {
		t.Error(p)
	}
	if d := cmp.Diff(webDefaults(), web().Defaults()); d != "" {
		t.Error(d)
	}
}

// Defaults are not shared between two decodings.
func TestDefaultsAreFresh(t *testing.T) {
	tree, err := conf.Load(conf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := web().Decode(tree)
	first.Listen[0] = "changed"
	if second, _ := web().Decode(tree); second.Listen[0] == "changed" {
		t.Error("shared")
	}
}
