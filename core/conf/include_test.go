package conf_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/core/conf"
)

// plant writes files below a new folder, and returns it.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// A later file overrides an earlier one, what is included the file that includes it.
func TestFilesAreLayers(t *testing.T) {
	folder := plant(t, map[string]string{
		"main.yaml":        "include: ['conf.d/*.yaml', more/last.yaml]\nweb: {idle_timeout: 1s, body_limit: 1kB, tls: {port: 1, name: main}, listen: [a, b]}\n",
		"conf.d/20.yaml":   "web: {tls: {port: 20}}\n",
		"conf.d/10.yaml":   "web: {tls: {port: 10, name: ten}, listen: [c]}\n",
		"conf.d/.#10.yaml": "not: [yaml\n",
		"conf.d/notes.txt": "not: [yaml\n",
		"more/last.yaml":   "include: [sub/*.yaml]\nweb: {mode: '0600', idle_timeout: 2s}\n",
		"more/sub/s.yaml":  "static:\n",
		"second.yaml":      "web: {idle_timeout: 3s}\n",
	})
	tree, err := conf.Load(conf.Options{
		Files:    []string{filepath.Join(folder, "main.yaml"), filepath.Join(folder, "second.yaml")},
		Environ:  []string{"TQSERVER_WEB__BODY_LIMIT=2kB"},
		Sets:     []string{"web.verbose=true"},
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
	want.Listen, want.IdleTimeout, want.BodyLimit, want.Mode, want.Verbose = []string{"c"}, 3*time.Second, 2000, 0o600, true
	want.TLS = tlsConfig{20, "ten"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !tree.Has("static") || tree.Has("include") {
		t.Error("sections:", tree.Sections())
	}
	var files []string
	for _, f := range tree.Files() {
		files = append(files, strings.TrimPrefix(f, folder+"/"))
	}
	if d := cmp.Diff([]string{
		"main.yaml", "conf.d/*.yaml", "conf.d/10.yaml", "conf.d/20.yaml", "more/last.yaml", "more/sub/*.yaml", "more/sub/s.yaml", "second.yaml",
	}, files); d != "" {
		t.Error(d)
	}
}

func TestIncludeProblems(t *testing.T) {
	many := map[string]string{"main.yaml": "include: ['d/*.yaml']\n"}
	for i := range 1001 {
		many[fmt.Sprintf("d/%04d.yaml", i)] = "web: {}\n"
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"a missing file", map[string]string{"main.yaml": "web: {}\ninclude: [none.yaml]\n"}, []string{"DIR/main.yaml:2:11: include[0]: DIR/none.yaml: no such file or directory"}},
		{"a missing folder", map[string]string{"main.yaml": "include: ['none/*.yaml']\n"}, []string{"DIR/main.yaml:1:11: include[0]: none/*.yaml: the folder DIR/none: no such file or directory"}},
		{"a pattern that matches nothing", map[string]string{"main.yaml": "include: ['*.yml']\n"}, nil},
		{"no pattern", map[string]string{"main.yaml": "include: ['[a']\n"}, []string{"DIR/main.yaml:1:11: include[0]: [a: is not a pattern"}},
		{"itself", map[string]string{"main.yaml": "include: ['*.yaml']\n"}, []string{"main.yaml includes itself: DIR/main.yaml → DIR/main.yaml; take one of these out"}},
		{"in a circle", map[string]string{"main.yaml": "include: [a.yaml]\n", "a.yaml": "include:\n  - main.yaml\n"}, []string{"DIR/a.yaml:2:5: include[0]: DIR/main.yaml includes itself: DIR/main.yaml → DIR/a.yaml → DIR/main.yaml"}},
		{"twice", map[string]string{"main.yaml": "include: [a.yaml, b.yaml]\n", "a.yaml": "", "b.yaml": "include: [a.yaml]\n"}, []string{"DIR/b.yaml:1:11: include[0]: DIR/a.yaml is read already, named by DIR/main.yaml:1:11; name it once"}},
		{"one for a list", map[string]string{"main.yaml": "include: a.yaml\n"}, []string{`DIR/main.yaml:1:1: include: must be a list of files or patterns: ["conf.d/*.yaml"]`}},
		{"empty", map[string]string{"main.yaml": "include:\n"}, []string{`include: must be a list`}},
		{"no name", map[string]string{"main.yaml": "include: ['', 5]\n"}, []string{"include[0]: must be a file or a pattern", "include[1]: must be a file"}},
		{"a folder", map[string]string{"main.yaml": "include: [d]\n", "d/x": ""}, []string{"DIR/d: is not a regular file"}},
		{
			"all at once, in the order of the files",
			map[string]string{
				"main.yaml": "include: [z.yaml, none.yaml, b.yaml]\nweb: {verbose: 1}\n", "z.yaml": "web:\n  lisen: x\n  mode: 5\n", "b.yaml": "wbe:\n",
			},
			[]string{
				"main.yaml:1:19: include[1]: DIR/none.yaml: no such file", "DIR/main.yaml:2:7: web.verbose", "DIR/z.yaml:2:3: web.lisen",
				"DIR/z.yaml:3:3: web.mode", "DIR/b.yaml:1:1: wbe: unknown section",
			},
		},
		{"problems of each", map[string]string{
			"main.yaml": "include: [z.yaml, b.yaml]\nweb: {verbose: 1}\n", "z.yaml": "web:\n  lisen: x\n  mode: 5\n", "b.yaml": "wbe:\nweb: {web: {}, web: {}}\n",
		}, []string{
			"DIR/main.yaml:2:7: web.verbose: 1 is not true or false", `DIR/z.yaml:2:3: web.lisen: unknown key`, "DIR/z.yaml:3:3: web.mode: 5 is",
			`DIR/b.yaml:1:1: wbe: unknown section "wbe"; did you mean web?`, "DIR/b.yaml:2:7: web.web: unknown key", "DIR/b.yaml:2:16: web.web: repeats the key",
		}},
		{"too many", many, []string{"more than 1000 files"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := plant(t, tt.files)
			_, err := conf.Load(conf.Options{Files: []string{filepath.Join(folder, "main.yaml")}, Sections: []conf.Spec{web(), static()}})
			problems := conf.ProblemsOf(err)
			if len(problems) != len(tt.want) {
				t.Fatalf("%d problems, want %d: %v", len(problems), len(tt.want), err)
			}
			for _, want := range tt.want {
				if want = strings.ReplaceAll(want, "DIR", folder); !strings.Contains(err.Error(), want) {
					t.Errorf("lacks %s:\n%v", want, err)
				}
			}
		})
	}
	folder := plant(t, map[string]string{"a.yaml": "web:\n"})
	a := filepath.Join(folder, "a.yaml")
	if _, err := conf.Load(conf.Options{Files: []string{a, a}}); err == nil || !strings.Contains(err.Error(), "is read already, named by --config") {
		t.Error(err)
	}
	_, err := conf.Load(conf.Options{Files: []string{a}, Sets: []string{"include=[x]"}, Sections: []conf.Spec{web()}})
	if err == nil || !strings.Contains(err.Error(), "stands in files only") {
		t.Error(err)
	}
	_, err = conf.Load(conf.Options{Files: []string{filepath.Join(folder, "none.yaml"), filepath.Join(folder, "none2.yaml")}})
	if len(conf.ProblemsOf(err)) != 2 || !strings.HasPrefix(err.Error(), folder+"/none.yaml: no such file") {
		t.Error(err)
	}
}
