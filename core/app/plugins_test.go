package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/sdk/settings"
)

func TestPluginTypes(t *testing.T) {
	if bad := settings.CheckStruct(pluginConfig{}); len(bad) > 0 {
		t.Error(bad)
	}
	sum := strings.Repeat("0aF", 22)[:64]
	for name, c := range map[string]struct {
		text string
		want api.PluginTypes
		errs []string
	}{
		"none": {"server:\n", api.PluginTypes{}, nil},
		"all": {
			"plugins:\n  - name: my-app_2\n    command: /bin/sh\n    args: [-c, x]\n    env: {B: \"2\", A: \"1\"}\n    sha256: " + sum + "\n  - {name: other, command: ./prog}\n",
			api.PluginTypes{
				{Name: "my-app_2", Command: []string{"/bin/sh", "-c", "x"}, Env: []string{"A=1", "B=2"}, SHA256: strings.ToLower(sum)},
				{Name: "other", Command: []string{"FOLDER/prog"}},
			},
			nil,
		},
		"names": {"plugins:\n  - {command: /bin/sh}\n  - {name: Bad, command: /bin/sh}\n  - {name: php, command: /bin/sh}\n  - {name: hosts, command: /bin/sh}\n" +
			"  - {name: a, command: /bin/sh}\n  - {name: a, command: /bin/sh}\n", nil, []string{
			"2:5: plugins[0].name: give a name", "3:6: plugins[1].name: give a name", `4:6: plugins[2].name: "php" means something else`,
			`5:6: plugins[3].name: "hosts" means`, `7:6: plugins[5].name: "a" is the name of plugins[4] already`,
		}},
		"commands": {"plugins:\n  - name: a\n  - {name: b, command: /nonexistent}\n  - {name: c, command: /tmp}\n", nil, []string{
			"2:5: plugins[0].command: give the executable", "plugins[1].command: stat /nonexistent", "plugins[2].command: /tmp is not an executable file",
		}},
		"environment": {"plugins:\n  - {name: a, command: /bin/sh, env: {PLUGIN_X: a, TQSERVER_X: a, \"a=b\": c}}\n", nil, []string{
			"plugins[0].env.PLUGIN_X: is not a name", "plugins[0].env.TQSERVER_X: is not", `plugins[0].env["a=b"]: is not`,
		}},
		"checksum": {"plugins:\n  - {name: a, command: /bin/sh, sha256: 12ab}\n", nil, []string{"plugins[0].sha256: is not a SHA-256"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			file := filepath.Join(dir, "c.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "prog"), nil, 0o700); err != nil {
				t.Fatal(err)
			}
			tree, err := conf.Load(conf.Options{Files: []string{file}, Sections: coreSections()})
			if c.errs != nil {
				for _, want := range c.errs {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%v\nhas no %s", err, want)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := pluginTypes(tree)
			for i := range got {
				got[i].Command[0] = strings.Replace(got[i].Command[0], dir, "FOLDER", 1)
			}
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}
