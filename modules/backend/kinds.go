package backend

import (
	"fmt"
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
	// launch says in the definition's spec what to start, from the section of the
	// worker's type, and takes out of the section what is not the plugin's.
	launch func(d *definition, section map[string]any) []settings.Problem
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
		all[t.Name] = kind{limits: streamPool, launch: func(d *definition, _ map[string]any) []settings.Problem {
			d.spec.Command, d.spec.Env, d.spec.SHA256 = t.Command, t.Env, t.SHA256
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
func ownPlugin(executable, name string) func(*definition, map[string]any) []settings.Problem {
	return func(d *definition, _ map[string]any) []settings.Problem {
		d.spec.Command = []string{executable, "plugin", name}
		return nil
	}
}
