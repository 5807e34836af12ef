package conf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

type toolConfig struct {
	Name string            `conf:"name" doc:"N." source:"none"`
	Args []string          `conf:"args" doc:"A." source:"none"`
	Env  map[string]string `conf:"env" doc:"E." source:"none"`
}

func tools() conf.List[toolConfig] {
	return conf.NewList("tools", "Tools.", func() toolConfig { return toolConfig{Name: "unnamed"} }, func(all []toolConfig) []settings.Problem {
		for i, tool := range all {
			if tool.Name == "bad" {
				return []settings.Problem{{Path: settings.Index("", i) + ".name", Message: "must not be bad"}}
			}
		}
		return nil
	})
}

func TestList(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []toolConfig
		errs []string
	}{
		"none":    {"static:\n", []toolConfig{}, nil},
		"empty":   {"tools:\n", []toolConfig{}, nil},
		"no item": {"tools: []\n", []toolConfig{}, nil},
		"two": {
			"tools:\n  - name: a\n    args: [x, y]\n  - env: {A: b}\n",
			[]toolConfig{{Name: "a", Args: []string{"x", "y"}}, {Name: "unnamed", Env: map[string]string{"A": "b"}}},
			nil,
		},
		"mistakes": {"tools:\n  - nam: a\n  - x\n  - args: y\n", nil, []string{
			`FILE:2:5: tools[0].nam: unknown key "nam"; did you mean name?`,
			"FILE:3:5: tools[1]: must be a group",
			"FILE:4:5: tools[2].args: is text; it must be a list",
		}},
		"judged":  {"tools:\n  - name: good\n  - name: bad\n", nil, []string{"FILE:3:5: tools[1].name: must not be bad"}},
		"a group": {"tools:\n  name: a\n", nil, []string{"FILE:1:1: tools: must be a list"}},
		"text":    {"tools: x\n", nil, []string{"FILE:1:1: tools: must be"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, c.text)
			tree, err := conf.Load(conf.Options{Files: []string{file}, Sections: []conf.Spec{tools(), static()}})
			if c.errs != nil {
				for _, want := range c.errs {
					if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(want, "FILE", file)) {
						t.Errorf("%v\nhas no %s", err, want)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := tools().Decode(tree)
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

// A list is no group, and a group no list.
func TestListIsOnlyWhereOneIsWanted(t *testing.T) {
	file := write(t, "static: [1]\n")
	_, err := conf.Load(conf.Options{Files: []string{file}, Sections: []conf.Spec{tools(), static()}})
	if want := file + ":1:1: static: must be a group"; err == nil || !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestListShows(t *testing.T) {
	file := write(t, "tools:\n  - {name: a, args: [x]}\n")
	for environ, want := range map[string]string{
		"A=b":                          "tools: [{args: [x], env: {}, name: a}] # file FILE:1:1\n",
		`TQSERVER_TOOLS=[{name: "b"}]`: "tools: [{args: [], env: {}, name: b}] # environment TQSERVER_TOOLS\n",
	} {
		tree, err := conf.Load(conf.Options{Files: []string{file}, Environ: []string{environ}, Sections: []conf.Spec{tools()}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := tree.Show(conf.ShowOptions{Origins: true}, tools())
		if err != nil || strings.ReplaceAll(string(got), file, "FILE") != want {
			t.Errorf("%v\n%s, want\n%s", err, got, want)
		}
	}
	schema, err := tools().Schema()
	if err != nil || !strings.Contains(string(schema), `"type":"array"`) || !strings.Contains(string(schema), `"description":"Tools."`) {
		t.Errorf("%s, %v", schema, err)
	}
	if f := tools().Fields(); len(f) != 3 || f[0].Path != "tools[].name" {
		t.Errorf("%+v", f)
	}
}
