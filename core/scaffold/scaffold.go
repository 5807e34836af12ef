package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

//go:embed template
var templates embed.FS

// sdkModule is the module that a plugin imports.
const sdkModule = "github.com/mevdschee/tqserver"

// Options of a new plugin.
type Options struct {
	// Name of the plugin: the type of its workers.
	Name string
	// Module path of the program.
	Module string
	// SDK is a folder with the source of TQServer to build with; empty means the
	// published module, which `go mod tidy` then finds.
	SDK string
}

var (
	pluginName = regexp.MustCompile(`^[a-z][a-z0-9]*([_-][a-z0-9]+)*$`)
	modulePath = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~/-]*$`)
)

// Write makes the folder and writes the plugin into it; a folder with anything in
// it is left alone. It returns the files, relative to the folder.
func Write(dir string, o Options) ([]string, error) {
	switch {
	case !pluginName.MatchString(o.Name):
		return nil, fmt.Errorf("%q cannot be the name of a plugin: lower case letters, digits, - and _, beginning with a letter (--name gives another one)", o.Name)
	case !modulePath.MatchString(o.Module):
		return nil, fmt.Errorf("%q cannot be the path of a Go module: write one like example.org/greeter", o.Module)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files, err := o.render()
	if err != nil {
		return nil, err
	}
	var written []string
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, f.text, 0o644); err != nil {
			return nil, err
		}
		written = append(written, f.name)
	}
	return written, nil
}

type file struct {
	name string
	text []byte
}

// data is what the templates know.
type data struct {
	Options
	SDKModule string
	// Go is the version line of go.mod; Requires are its requirements.
	Go       string
	Requires []string
}

func (o Options) render() ([]file, error) {
	d := data{Options: o, SDKModule: sdkModule, Go: "1.26"}
	var files []file
	if o.SDK != "" {
		sdk, err := filepath.Abs(o.SDK)
		if err != nil {
			return nil, err
		}
		d.SDK = sdk
		mod, err := os.ReadFile(filepath.Join(sdk, "go.mod"))
		if err != nil {
			return nil, fmt.Errorf("the source of TQServer: %w", err)
		}
		if d.Go, d.Requires, err = requirements(string(mod)); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(sdk, "go.mod"), err)
		}
		sums, err := os.ReadFile(filepath.Join(sdk, "go.sum"))
		if err != nil {
			return nil, fmt.Errorf("the source of TQServer: %w", err)
		}
		files = append(files, file{"go.sum", sums})
	}
	err := fs.WalkDir(templates, "template", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(templates, path)
		if err != nil {
			return err
		}
		t, err := template.New(path).Parse(string(text))
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, d); err != nil {
			return err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, "template/"), ".tmpl")
		name = strings.NewReplacer("NAME", o.Name, "gitignore", ".gitignore").Replace(name)
		files = append(files, file{name, out.Bytes()})
		return nil
	})
	return files, err
}

// requirements reads what of a go.mod one with `replace` has to repeat.
func requirements(mod string) (goVersion string, requires []string, err error) {
	if !strings.Contains(mod, "module "+sdkModule+"\n") {
		return "", nil, fmt.Errorf("it is not that of %s", sdkModule)
	}
	inside := false
	for line := range strings.Lines(mod) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " //")
		version, isGo := strings.CutPrefix(line, "go ")
		switch {
		case isGo:
			goVersion = version
		case line == "require (":
			inside = true
		case line == ")":
			inside = false
		case inside && line != "":
			requires = append(requires, line)
		}
	}
	return goVersion, requires, nil
}
