package backend

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/gobuild"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// goSection is what this module reads of the section "go"; the rest is the worker's own.
type goSection struct {
	Binary string                     `conf:"binary" doc:"The worker's executable, relative to its folder." source:"bin and the worker's name, when the folder has Go source; else it has to be given"`
	Source string                     `conf:"source" doc:"Folder of the program's Go source (package main), relative to the worker's folder: the executable is built of it at the start when it is missing or older." source:"the worker's folder, when Go files are there"`
	Build  bool                       `conf:"build" doc:"Whether the executable is built of the source; false means that it comes ready-made." source:"a checkout runs as it is"`
	Env    map[string]settings.Secret `conf:"env" doc:"Environment of the worker's process, beside PATH, LANG, LC_ALL, TZ and TMPDIR of the server. A value may be file:/run/secrets/x or env:NAME, which stand for what the file or the server's own environment holds." source:"none: the server's own environment may hold secrets"`
	Pool   poolSettings               `conf:"pool" doc:"How requests meet the worker's process."`
}

func defaultGo() goSection { return goSection{Build: true, Pool: streamPool()} }

// goProgram is the worker's own binary, perhaps to be built.
func goProgram(d *definition, section map[string]any) []settings.Problem {
	own := map[string]any{}
	for _, name := range []string{"binary", "source", "build", "env"} {
		if value, there := section[name]; there {
			own[name] = value
			delete(section, name)
		}
	}
	g := defaultGo()
	if problems := settings.Decode(own, &g); len(problems) > 0 {
		return problems
	}
	if problems := d.addEnv(g.Env); len(problems) > 0 {
		return problems
	}
	folder := d.spec.Folder
	if g.Source == "" && gobuild.HasSource(folder) {
		g.Source = "."
	}
	builds := g.Build && g.Source != ""
	switch {
	case g.Binary == "" && builds:
		g.Binary = filepath.Join("bin", d.spec.Worker)
	case g.Binary == "":
		return []settings.Problem{{Path: "binary", Message: "give the worker's executable, relative to its folder, or put Go source into the folder"}}
	}
	path := absolute(folder, g.Binary)
	d.spec.Command = []string{path}
	if builds {
		source := absolute(folder, g.Source)
		if !gobuild.HasSource(source) {
			d.spec.Command = nil
			return []settings.Problem{{Path: "source", Message: "there are no Go files in " + source}}
		}
		d.program = &gobuild.Program{Folder: folder, Source: source, Binary: path}
	}
	if problems := executable(path, builds); len(problems) > 0 {
		d.spec.Command = nil
		return problems
	}
	return nil
}

// addEnv gives the worker's process its environment.
func (d *definition) addEnv(env map[string]settings.Secret) (bad []settings.Problem) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name].Reveal()
		if problem := api.PluginEnvProblem(name, value); problem != "" {
			bad = append(bad, settings.Problem{Path: settings.Join("env", name), Message: problem})
		}
		d.spec.Env = append(d.spec.Env, name+"="+value)
	}
	return bad
}

// executable finds what cannot be started; missing may be what is yet to be built.
func executable(path string, missing bool) []settings.Problem {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && missing:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return []settings.Problem{{Path: "binary", Message: "there is no " + path + "; build it, or put its Go source into the worker's folder"}}
	case err != nil:
		return []settings.Problem{{Path: "binary", Message: err.Error()}}
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return []settings.Problem{{Path: "binary", Message: path + " is not an executable file"}}
	}
	return nil
}
