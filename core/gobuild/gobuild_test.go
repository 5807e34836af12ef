package gobuild

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program writes a worker folder and returns its program.
func program(t *testing.T, more map[string]string) Program {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"go.mod":         "module example.org/p\n\ngo 1.24\n",
		"main.go":        "package main\n\nimport (\n\t_ \"embed\"\n\n\t\"example.org/p/part\"\n)\n\n//go:embed data\nvar data string\n\nfunc main() { println(part.Text, data) }\n",
		"main_test.go":   "package main\n",
		"plan9.go":       "//go:build plan9\n\npackage main\n",
		"data":           "data",
		"part/part.go":   "package part\n\nconst Text = \"part\"\n",
		"other/other.go": "package other\n",
	}
	maps.Copy(files, more)
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	return Program{Folder: dir, Source: dir, Binary: filepath.Join(dir, "bin/p")}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func (p Program) says(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), p.Binary).CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func (p Program) refresh(t *testing.T, want bool) {
	t.Helper()
	if built, err := p.Refresh(t.Context()); err != nil || built != want {
		t.Fatalf("built %t, want %t: %v", built, want, err)
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	p := program(t, nil)
	var names []string
	for _, name := range p.Files() {
		name, _ := filepath.Rel(p.Folder, name)
		names = append(names, name)
	}
	if want := []string{"data", "go.mod", "main.go", "part/part.go"}; !slices.Equal(names, want) {
		t.Errorf("made of %q, want %q", names, want)
	}
	p.refresh(t, true)
	p.refresh(t, false)
	if got := p.says(t); got != "part data" {
		t.Errorf("%q", got)
	}
	put(t, filepath.Join(p.Folder, "main_test.go"), "package main // changed\n")
	put(t, filepath.Join(p.Folder, "other/other.go"), "package other // changed\n")
	p.refresh(t, false)
	for name, text := range map[string]string{"data": "more data", "part/part.go": "package part\n\nconst Text = \"other part\"\n"} {
		put(t, filepath.Join(p.Folder, name), text)
		p.refresh(t, true)
		p.refresh(t, false)
	}
	if got := p.says(t); got != "other part more data" {
		t.Errorf("%q", got)
	}
}

// What failed is told with its place, and leaves the executable and its folder alone.
func TestRefreshFails(t *testing.T) {
	t.Parallel()
	p := program(t, nil)
	p.refresh(t, true)
	for text, want := range map[string]string{
		"package part\n\nconst Text = nobody\n":                  "/part/part.go:3:14: undefined: nobody",
		"package part\n\nimport (\n":                             "/part/part.go:",
		"package part\n\nimport \"example.org/p/nowhere\"\n":     "/part/part.go:3:8: ",
		"package part\n\nimport _ \"example.org/elsewhere/x\"\n": "/part/part.go:3:8: ",
	} {
		put(t, filepath.Join(p.Folder, "part/part.go"), text)
		_, err := p.Refresh(t.Context())
		failed, ok := errors.AsType[*Error](err)
		if !ok || !strings.Contains(failed.Output, p.Folder+want) {
			t.Errorf("%q: no %q in %v", text, want, err)
		}
	}
	put(t, filepath.Join(p.Folder, "part/part.go"), "package part\n\nconst Text = \"part\"\n")
	for _, name := range []string{"main.go", "plan9.go", "main_test.go"} {
		put(t, filepath.Join(p.Folder, name), "package p\n")
	}
	if _, err := p.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "it needs package main") {
		t.Errorf("no program: %v", err)
	}
	if got := p.says(t); got != "part data" {
		t.Errorf("%q", got)
	}
	if entries, err := os.ReadDir(filepath.Dir(p.Binary)); err != nil || len(entries) != 1 {
		t.Errorf("left: %v %v", entries, err)
	}
}

func TestRefreshWithoutToolchain(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := program(t, nil).Refresh(t.Context()); !errors.Is(err, ErrNoToolchain) {
		t.Error(err)
	}
}

// A build that is cut off ends with its compilers and leaves nothing.
func TestRefreshIsCancelled(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	// A go command that waits, with a child of its own.
	path := t.TempDir()
	put(t, filepath.Join(path, "go"), "#!/bin/sh\n: >\"$PWD/began\"\nsleep 1000 & sleep 1000\n"+tool+"\n")
	if err := os.Chmod(filepath.Join(path, "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path+":"+os.Getenv("PATH"))
	p := program(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := p.Refresh(ctx)
		ended <- err
	}()
	await(t, "the build runs", func() bool { return exists(filepath.Join(p.Folder, "began")) })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(p.Binary)); err != nil || len(entries) != 0 {
		t.Errorf("left: %v %v", entries, err)
	}
}

// The folder of the executable cannot be led elsewhere, and a server that is root
// builds as the user the source belongs to.
func TestRefreshKeepsToTheFolder(t *testing.T) {
	t.Parallel()
	p := program(t, nil)
	elsewhere := t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(p.Folder, "bin")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("%v", err)
	}
	if entries, _ := os.ReadDir(elsewhere); len(entries) > 0 {
		t.Errorf("elsewhere: %v", entries)
	}
}

func TestBuilderIsTheOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	p := program(t, nil)
	const nobody = 65534
	if err := os.Chown(p.Source, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	as, err := builder(p.Source)
	if err != nil || as.credential == nil || as.credential.Uid != nobody || as.credential.Gid != nobody {
		t.Fatalf("%+v %v", as, err)
	}
	for _, pair := range as.environment() {
		if strings.HasPrefix(pair, "GOCACHE=") || pair == "HOME="+os.Getenv("HOME") {
			t.Errorf("the server's own: %s", pair)
		}
	}
	// With a home and a cache it would build; here it has neither, which go says.
	for dir := filepath.Dir(p.Folder); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Refresh(t.Context()); err == nil {
		info, err := os.Stat(p.Binary)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != nobody {
			t.Errorf("not built by nobody: %v %v", info, err)
		}
	} else if _, ok := errors.AsType[*Error](err); !ok {
		t.Errorf("%v", err)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	p := program(t, nil)
	p.refresh(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	calls, ended := make(chan struct{}, 64), make(chan error, 1)
	go func() {
		ended <- p.Watch(ctx, func() {
			_, _ = p.Refresh(ctx)
			calls <- struct{}{}
		})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for name, text := range map[string]string{
		"data":         "other data",
		"part/part.go": "package part\n\nimport \"example.org/p/other\"\n\nconst Text = other.Text\n", // does not build yet
	} {
		put(t, filepath.Join(p.Folder, name), text)
		wait(t, calls)
	}
	put(t, filepath.Join(p.Folder, "other/other.go"), "package other\n\nconst Text = \"another\"\n")
	wait(t, calls)
	await(t, "it is built", func() bool { return p.Stale() == "" })
	if got := p.says(t); got != "another other data" {
		t.Errorf("%q", got)
	}
	if err := os.Remove(p.Binary); err != nil {
		t.Fatal(err)
	}
	wait(t, calls)
	await(t, "it is built again", func() bool { return p.Stale() == "" })
}

func wait(t *testing.T, calls <-chan struct{}) {
	t.Helper()
	select {
	case <-calls:
	case <-time.After(time.Minute):
		t.Fatal("the change was not seen")
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for giveUp := time.After(time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-giveUp:
			t.Fatalf("not in time: %s", what)
		}
	}
}
