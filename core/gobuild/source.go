package gobuild

import (
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Program is a Go program and the executable made of it; its paths are absolute.
type Program struct {
	// Folder of the worker.
	Folder string
	// Source is the folder of package main.
	Source string
	// Binary is the executable.
	Binary string
}

// maxPackages bounds what of a program's own module is looked at.
const maxPackages = 2000

// HasSource says whether a folder holds a Go program, or parts of one that the go
// command will find fault with.
func HasSource(folder string) bool {
	names, _ := filepath.Glob(filepath.Join(folder, "*.go"))
	return slices.ContainsFunc(names, func(name string) bool { return !strings.HasSuffix(name, "_test.go") })
}

// Stale says why the executable has to be built; empty when it is as new as its
// source.
func (p Program) Stale() string {
	binary, err := os.Stat(p.Binary)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no " + p.Binary + " yet"
	case err != nil:
		return err.Error()
	}
	for _, name := range p.Files() {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(binary.ModTime()) {
			return name + " is newer than " + p.Binary
		}
	}
	return ""
}

// Files are what the program is made of, as far as it belongs to its own module:
// sources for this machine, embedded files, go.mod and go.sum. Packages of other
// modules change by go.mod only. What cannot be read is left out: the go command
// says more about it.
func (p Program) Files() []string {
	files, _ := p.parts()
	return files
}

// parts are Files and the folders they are, or may come to be, in.
func (p Program) parts() (files, folders []string) {
	root, module := moduleOf(p.Source)
	if root != "" {
		folders = append(folders, root)
		for _, name := range []string{"go.mod", "go.sum", "vendor/modules.txt"} {
			if name = filepath.Join(root, name); exists(name) {
				files = append(files, name)
			}
		}
	}
	seen := map[string]bool{}
	for todo := []string{p.Source}; len(todo) > 0 && len(seen) < maxPackages; {
		dir := todo[0]
		todo = todo[1:]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		folders = append(folders, dir)
		pkg, err := build.ImportDir(dir, 0)
		if err != nil && pkg.Dir == "" {
			continue
		}
		if _, broken := errors.AsType[*build.NoGoError](err); err != nil && !broken {
			files = append(files, goFiles(dir)...) // one cannot be parsed: each of them may be to blame
		}
		for _, names := range [][]string{
			pkg.GoFiles, pkg.CgoFiles, pkg.CFiles, pkg.CXXFiles, pkg.MFiles, pkg.HFiles, pkg.FFiles, pkg.SFiles, pkg.SwigFiles, pkg.SwigCXXFiles, pkg.SysoFiles,
		} {
			for _, name := range names {
				files = append(files, filepath.Join(dir, name))
			}
		}
		for _, pattern := range pkg.EmbedPatterns {
			more, in := embedded(dir, pattern)
			files, folders = append(files, more...), append(folders, in...)
		}
		for _, path := range pkg.Imports {
			if below, ours := strings.CutPrefix(path, module+"/"); ours && module != "" {
				todo = append(todo, filepath.Join(root, filepath.FromSlash(below)))
			} else if path == module {
				todo = append(todo, root)
			}
		}
	}
	slices.Sort(files)
	slices.Sort(folders)
	return slices.Compact(files), slices.Compact(folders)
}

func goFiles(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
}

// embedded are the files of a pattern of //go:embed, and their folders.
func embedded(dir, pattern string) (files, folders []string) {
	pattern = strings.TrimPrefix(pattern, "all:")
	folders = append(folders, filepath.Dir(filepath.Join(dir, pattern)))
	names, _ := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
	for _, name := range names {
		_ = filepath.WalkDir(name, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
			case d.IsDir():
				folders = append(folders, name)
			default:
				files = append(files, name)
			}
			return nil
		})
	}
	return files, folders
}

var moduleLine = regexp.MustCompile(`(?m)^module[ \t]+"?([^"\s]+)`)

// moduleOf finds the module a folder belongs to: its root and its path, both
// empty when there is none.
func moduleOf(dir string) (root, path string) {
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			if m := moduleLine.FindSubmatch(text); m != nil {
				path = string(m[1])
			}
			return dir, path
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", ""
		}
		dir = parent
	}
}

// state is the same while nothing of the program has changed.
func (p Program) state() string {
	var text strings.Builder
	files := append(p.Files(), p.Binary)
	for _, name := range files {
		size, at := int64(-1), time.Time{}
		if info, err := os.Stat(name); err == nil {
			size, at = info.Size(), info.ModTime()
		}
		fmt.Fprintf(&text, "%s %d %d\n", name, size, at.UnixNano())
	}
	return text.String()
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
