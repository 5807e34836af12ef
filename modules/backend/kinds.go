package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// kind is a type of worker this module can run.
type kind struct {
	// scripts: the process takes CGI scripts below a document root.
	scripts bool
	// limits are the defaults of the pool section.
	limits func() poolSettings
	// launch says in the spec what to start, from the section of the worker's
	// type, and takes out of the section what is not the plugin's.
	launch func(spec *api.PluginSpec, section map[string]any) []settings.Problem
}

// kinds are the types a worker.yaml may name.
type kinds map[string]kind

// allKinds are ours, served by the executable itself, and those that the
// configuration adds.
func allKinds(executable string, types api.PluginTypes) kinds {
	all := kinds{
		"php":     {scripts: true, limits: defaultPool, launch: ownPlugin(executable, "php")},
		"go":      {limits: streamPool, launch: goProgram},
		"command": {limits: streamPool, launch: ownPlugin(executable, "command")},
	}
	for _, t := range types {
		all[t.Name] = kind{limits: streamPool, launch: func(spec *api.PluginSpec, _ map[string]any) []settings.Problem {
			spec.Command, spec.Env, spec.SHA256 = t.Command, t.Env, t.SHA256
			return nil
		}}
	}
	return all
}

// names are in the order of the alphabet.
func (k kinds) names() []string {
	names := make([]string, 0, len(k))
	for name := range k {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// unknown is what is wrong with a type that is none of them.
func (k kinds) unknown(name string) settings.Problem {
	return settings.Problem{Path: "type", Message: fmt.Sprintf("%q is no type of worker; there are: %s", name, strings.Join(k.names(), ", "))}
}

// ownPlugin is one that the server's own binary serves.
func ownPlugin(executable, name string) func(*api.PluginSpec, map[string]any) []settings.Problem {
	return func(spec *api.PluginSpec, _ map[string]any) []settings.Problem {
		spec.Command = []string{executable, "plugin", name}
		return nil
	}
}

// goProgram is the worker's own binary.
func goProgram(spec *api.PluginSpec, section map[string]any) []settings.Problem {
	binary, ok := section["binary"].(string)
	if !ok || binary == "" {
		return []settings.Problem{{Path: "binary", Message: "give the worker's executable, relative to its folder"}}
	}
	delete(section, "binary")
	path := absolute(spec.Folder, binary)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []settings.Problem{{Path: "binary", Message: "there is no " + path + "; build it (`make build` for the samples)"}}
	case err != nil:
		return []settings.Problem{{Path: "binary", Message: err.Error()}}
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return []settings.Problem{{Path: "binary", Message: path + " is not an executable file"}}
	}
	spec.Command = []string{path}
	return nil
}
