package module_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/module"
)

type config struct {
	Size int `conf:"size" doc:"Size."`
}

func section(key string) conf.Section[config] {
	return conf.NewSection(key, func() config { return config{Size: 1} })
}

func descriptor(id, key string) module.Descriptor {
	return module.Descriptor{ID: id, Summary: "Does " + id + ".", Section: section(key), Options: fx.Module(id)}
}

func load(t *testing.T, text string) *conf.Tree {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := conf.Load(conf.Options{Files: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestAssemble(t *testing.T) {
	all := []module.Descriptor{descriptor("web", "web"), descriptor("off", "off"), descriptor("static", "static"), descriptor("api", "control")}
	on, err := module.Assemble(all, load(t, "control: {size: 2}\nstatic:\nweb: {}\nlog: {size: 3}\n"), section("log"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, d := range on {
		ids = append(ids, d.ID)
	}
	if got := strings.Join(ids, " "); got != "web static api" { // the order of the list
		t.Error(got)
	}
}

func TestAssembleProblems(t *testing.T) {
	without := func(change func(*module.Descriptor)) module.Descriptor {
		d := descriptor("bare", "bare")
		change(&d)
		return d
	}
	tests := []struct {
		name string
		all  []module.Descriptor
		text string
		want []string
	}{
		{
			"bad IDs",
			[]module.Descriptor{descriptor("", "a"), descriptor("Web", "b"), descriptor("a-b", "c")},
			"",
			[]string{`module 1 of the list: bad ID ""`, `module 2 of the list: bad ID "Web"`, `bad ID "a-b"`},
		},
		{"repeated ID", []module.Descriptor{descriptor("a", "a"), descriptor("a", "b")}, "", []string{"module a: the ID is in the list twice"}},
		{"two owners", []module.Descriptor{descriptor("a", "x"), descriptor("b", "x")}, "x:\n", []string{`module b: its section "x" belongs to module a already`}},
		{"the core's section", []module.Descriptor{descriptor("a", "log")}, "", []string{`module a: its section "log" belongs to the core already`}},
		{"no section", []module.Descriptor{without(func(d *module.Descriptor) { d.Section = nil })}, "", []string{"module bare: summary, section and options are all required"}},
		{"no summary", []module.Descriptor{without(func(d *module.Descriptor) { d.Summary = "" })}, "", []string{"all required"}},
		{"no options", []module.Descriptor{without(func(d *module.Descriptor) { d.Options = nil })}, "", []string{"all required"}},
		{"unknown section", []module.Descriptor{descriptor("static", "static")}, "statik:\n", []string{`unknown section "statik"; did you mean static?`}},
		{
			"all at once",
			[]module.Descriptor{descriptor("a", "a"), descriptor("a", "b"), descriptor("c", "c")},
			"a: {size: x}\nzzz: {}\nlog: 5\nc: {sise: 1}\n",
			[]string{"the ID is in the list twice", `"x" is not a whole number`, `unknown section "zzz"`, "log: must be a group", `did you mean size?`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			on, err := module.Assemble(tt.all, load(t, tt.text), section("log"))
			if err == nil || on != nil {
				t.Fatal("no error", on)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("lacks %s:\n%v", want, err)
				}
			}
			if n := strings.Count(err.Error(), "\n") + 1; n != len(tt.want) {
				t.Errorf("%d problems, want %d:\n%v", n, len(tt.want), err)
			}
		})
	}
	_, err := module.Assemble(nil, load(t, "x:\n"))
	if _, ok := errors.AsType[*conf.Errors](err); !ok {
		t.Errorf("%T hides *conf.Errors", err)
	}
}
