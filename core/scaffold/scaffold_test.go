package scaffold

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "greeter")
	files, err := Write(dir, Options{Name: "greeter", Module: "example.org/greeter", SDK: "../.."})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum", "main.go", ".gitignore", "tqserver.yaml", "workers/greeter/config/worker.yaml"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%v; written: %v", err, files)
		}
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"module example.org/greeter\n", "\ngo 1.", "replace github.com/mevdschee/tqserver => " + root + "\n", "google.golang.org/grpc v"} {
		if !strings.Contains(string(mod), want) {
			t.Errorf("no %q in\n%s", want, mod)
		}
	}
	if _, err := Write(dir, Options{Name: "greeter", Module: "example.org/greeter"}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("written over: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	empty := t.TempDir()
	for want, o := range map[string]Options{
		"cannot be the name":        {Name: "Bad Name", Module: "x"},
		"cannot be the path":        {Name: "good", Module: "a b"},
		"the source of TQServer":    {Name: "good", Module: "x", SDK: empty},
		"it is not that of github.": {Name: "good", Module: "x", SDK: other(t)},
	} {
		dir := filepath.Join(t.TempDir(), "new")
		if _, err := Write(dir, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%+v: something was written", o)
		}
	}
}

// other is the folder of another module.
func other(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.org/other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
