package pluginhost

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFolderIsSwept(t *testing.T) {
	t.Parallel()
	parent := shortDir(t)
	alive, err := newFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(parent, "tq-dead")
	unlocked := filepath.Join(parent, "tq-unlocked")
	other := filepath.Join(parent, "other")
	for _, dir := range []string{dead, unlocked, other} {
		if err := os.MkdirAll(filepath.Join(dir, "worker"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dead, lockName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := newFolder(parent)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{alive.path: true, next.path: true, other: true, dead: false, unlocked: false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", path, err, want)
		}
	}
	if info, err := os.Stat(next.path); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, f := range []*folder{alive, next, next} {
		if err := f.remove(); err != nil {
			t.Error(err)
		}
	}
}

func TestBadFolders(t *testing.T) {
	t.Parallel()
	file := filepath.Join(shortDir(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ folder, want string }{
		"relative": {"run", "not an absolute path"},
		"too long": {"/tmp/" + strings.Repeat("x", 60), "bytes too long"},
		"a file":   {file, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(Options{RuntimeFolder: c.folder, Log: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if _, err := New(Options{RuntimeFolder: shortDir(t), Executable: "/nonexistent", Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("no guardian, no error")
	}
}
