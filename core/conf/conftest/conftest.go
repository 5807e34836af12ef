// Package conftest checks a module's section of the configuration: its struct,
// and the files in the module's testdata/good and testdata/bad.
package conftest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Section checks the defaults' struct (settings.CheckStruct), loads every
// testdata/good/*.yaml without an error, and wants from every
// testdata/bad/*.yaml exactly the errors that its leading "# error: text" lines
// tell, each of them once. The module's README.md must name every setting with
// its default.
func Section(t *testing.T, section conf.Spec, defaults any) {
	t.Helper()
	for _, p := range settings.CheckStruct(defaults) {
		t.Errorf("%T: %s: %s", defaults, p.Path, p.Message)
	}
	Documented(t, "README.md", defaults)
	for _, file := range files(t, "good") {
		if err := load(file, section); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, file := range files(t, "bad") {
		Wants(t, file, load(file, section))
	}
}

// Documented wants every setting of the struct named in the text of a file.
func Documented(t *testing.T, file string, defaults any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return
	}
	for _, f := range settings.Fields(defaults) {
		name := f.Path[strings.LastIndexByte(f.Path, '.')+1:]
		if !strings.Contains(string(text), name) {
			t.Errorf("%s does not name the setting %s: %s", file, f.Path, f.Doc)
		}
	}
}

// Wants compares err with the "# error:" lines of file.
func Wants(t *testing.T, file string, err error) {
	t.Helper()
	text, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatal(readErr)
	}
	var wanted []string
	for line := range strings.Lines(string(text)) {
		if want, ok := strings.CutPrefix(line, "# error: "); ok {
			wanted = append(wanted, strings.TrimSpace(want))
		}
	}
	if len(wanted) == 0 {
		t.Errorf("%s: says no `# error: text`", file)
	}
	problems := conf.ProblemsOf(err)
	if len(problems) != len(wanted) {
		t.Errorf("%s: %d problems, want %d:\n%v", file, len(problems), len(wanted), err)
	}
	for _, want := range wanted {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: no %q in:\n%v", file, want, err)
		}
	}
}

func load(file string, section conf.Spec) error {
	_, err := conf.Load(conf.Options{Files: []string{file}, Sections: []conf.Spec{section}})
	return err
}

func files(t *testing.T, kind string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("testdata", kind, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Errorf("no files in testdata/%s", kind)
	}
	return found
}
