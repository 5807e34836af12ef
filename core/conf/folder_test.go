package conf_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/core/conf"
)

// Files that are not on disk have the same form, include each other, and are told
// with their names.
func TestFoldersElsewhere(t *testing.T) {
	disk := plant(t, map[string]string{"local.yaml": "web: {mode: '0600'}\n"})
	load := func(files map[string][]byte) (*conf.Tree, error) {
		return conf.Load(conf.Options{
			Files:    []string{"etcd://h:1/tq"},
			Folders:  []conf.Folder{{Name: "etcd://h:1/tq", Main: "main.yaml", Files: files, Missing: "put %[1]s there"}},
			Sections: []conf.Spec{web(), static()},
		})
	}
	tree, err := load(map[string][]byte{
		"main.yaml":      []byte("include: ['d/*.yaml', " + disk + "/local.yaml]\nweb: {idle_timeout: 1s, body_limit: 1kB}\n"),
		"d/10.yaml":      []byte("include: [../more.yaml]\nweb:\n  idle_timeout: 2s\n"),
		"more.yaml":      []byte("web: {body_limit: 2kB}\n"),
		"d/20.yaml":      []byte("static:\n"),
		"d/sub/not.yaml": nil,
	})
	if err == nil || err.Error() != "etcd://h:1/tq/d/sub/not.yaml: nothing reads this; name it in the include of main.yaml, or remove it" {
		t.Error(err)
	}
	got, err := web().Decode(tree)
	if err != nil || got.IdleTimeout != 2*time.Second || got.BodyLimit != 2000 || got.Mode != 0o600 {
		t.Errorf("%+v %v", got, err)
	}
	if files := tree.Files(); len(files) != 1 || files[0] != disk+"/local.yaml" {
		t.Errorf("to be watched: %q", files)
	}
	if where := tree.Where("web.idle_timeout"); where != "etcd://h:1/tq/d/10.yaml:3:3: web.idle_timeout" {
		t.Error(where)
	}
	text, err := tree.Show(conf.ShowOptions{Origins: true}, web())
	if err != nil || !strings.Contains(string(text), "idle_timeout: 2s # etcd://h:1/tq/d/10.yaml:3:3\n") {
		t.Errorf("%s %v", text, err)
	}
	for want, files := range map[string]map[string][]byte{
		"etcd://h:1/tq/main.yaml: is not there; put main.yaml there":                      {},
		"etcd://h:1/tq/x.yaml: is not there; put x.yaml there":                            {"main.yaml": []byte("include: [x.yaml]")},
		"etcd://h:1/tq/main.yaml:1:11: include[0]: ../x.yaml: leads out of etcd://h:1/tq": {"main.yaml": []byte("include: [../x.yaml]")},
		"include[0]: x[: is not a pattern":                                                {"main.yaml": []byte("include: ['x[']"), "a": nil},
		"include[0]: etcd://h:1/tq/main.yaml includes itself":                             {"main.yaml": []byte("include: [main.yaml]")},
		"etcd://h:1/tq/main.yaml:3: not YAML":                                             {"main.yaml": []byte("web:\n  [")},
		"is larger than 1 MiB":                                                            {"main.yaml": make([]byte, 1<<20+1)},
		"etcd://h:1/tq/main.yaml:1:7: web.idle_timeout: 5 has no unit":                    {"main.yaml": []byte("web: {idle_timeout: 5}")},
	} {
		if _, err := load(files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
