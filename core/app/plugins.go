package app

import (
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

const pluginsSummary = "Executables of others that run workers: each adds a type of worker."

// pluginsSection are the types of workers that the configuration adds.
var pluginsSection = conf.NewList("plugins", pluginsSummary, func() pluginConfig { return pluginConfig{} }, validPlugins)

// pluginConfig is one of them.
type pluginConfig struct {
	Name    string            `conf:"name" doc:"Type of the workers it runs, and section of worker.yaml with its settings." source:"none: it has to be given"`
	Command string            `conf:"command" doc:"Executable that speaks the plugin protocol; relative to the folder the server was started in." source:"none: it has to be given"`
	Args    []string          `conf:"args" doc:"Arguments of the executable." source:"none"`
	Env     map[string]string `conf:"env" doc:"Environment of the executable, beside PATH, LANG, LC_ALL, TZ and TMPDIR of the server." source:"none: the server's own environment may hold secrets"`
	SHA256  string            `conf:"sha256" doc:"SHA-256 of the executable in hexadecimal digits, checked before every start; empty means that it is not checked." source:"none: who may write the file is trusted"`
}

var pluginName = regexp.MustCompile(conf.PluginName)

// ownTypes are names that a plugin must not have: they are types of workers of
// ours, now or later, or keys of worker.yaml, where the section of a type stands.
func ownTypes() []string {
	return []string{
		"php", "go", "command", "static", "proxy", "http",
		"path", "hosts", "type", "document_root", "index", "front_controller", "user", "group", "isolation", "fastcgi", "pool",
		"router", "middleware",
	}
}

func validPlugins(plugins []pluginConfig) []settings.Problem {
	var bad []settings.Problem
	named := map[string]int{}
	for i, p := range plugins {
		say := func(key, format string, args ...any) {
			bad = append(bad, settings.Problem{Path: settings.Under(settings.Index("", i), key), Message: fmt.Sprintf(format, args...)})
		}
		switch other, twice := named[p.Name]; {
		case !pluginName.MatchString(p.Name):
			say("name", "give a name in lower case letters, digits, - and _, beginning with a letter")
		case slices.Contains(ownTypes(), p.Name):
			say("name", "%q means something else in worker.yaml; choose another name", p.Name)
		case twice:
			say("name", "%q is the name of plugins[%d] already", p.Name, other)
		default:
			named[p.Name] = i
		}
		if problem := badExecutable(p.Command); problem != "" {
			say("command", "%s", problem)
		}
		for _, name := range slices.Sorted(maps.Keys(p.Env)) {
			if problem := api.PluginEnvProblem(name, p.Env[name]); problem != "" {
				say(settings.Join("env", name), "%s", problem)
			}
		}
		if sum, err := hex.DecodeString(p.SHA256); p.SHA256 != "" && (err != nil || len(sum) != 32) {
			say("sha256", "is not a SHA-256: 64 hexadecimal digits, as sha256sum prints them")
		}
	}
	return bad
}

// badExecutable says what is wrong with the path of a program, empty for nothing.
func badExecutable(path string) string {
	if path == "" {
		return "give the executable"
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err.Error()
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return path + " is not an executable file"
	}
	return ""
}

// pluginTypes are the types of the section, ready to run.
func pluginTypes(tree *conf.Tree) (api.PluginTypes, error) {
	plugins, err := pluginsSection.Decode(tree)
	if err != nil {
		return nil, err
	}
	types := make(api.PluginTypes, 0, len(plugins))
	for _, p := range plugins {
		command, err := filepath.Abs(p.Command)
		if err != nil {
			return nil, fmt.Errorf("plugins: %s: %w", p.Name, err)
		}
		t := api.PluginType{Name: p.Name, Command: append([]string{command}, p.Args...), SHA256: strings.ToLower(p.SHA256)}
		for _, name := range slices.Sorted(maps.Keys(p.Env)) {
			t.Env = append(t.Env, name+"="+p.Env[name])
		}
		types = append(types, t)
	}
	return types, nil
}
