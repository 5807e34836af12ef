package module

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/mevdschee/tqserver/core/conf"
)

func TestMissingNeedIsTold(t *testing.T) {
	type none struct{}
	describe := func(id string, needs ...string) Descriptor {
		return Descriptor{
			ID: id, Summary: "Is " + id + ".", Needs: needs, Options: fx.Options(),
			Section: conf.NewSection(id, func() none { return none{} }),
		}
	}
	all := []Descriptor{describe("front", "middle"), describe("middle", "back"), describe("back")}
	for _, c := range []struct{ config, want string }{
		{"front:\nmiddle:\nback:\n", ""},
		{"back:\n", ""},
		{"front:\nback:\n", "module front needs module middle"},
		{"front:\nmiddle:\n", "module middle needs module back"},
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(c.config), 0o600); err != nil {
			t.Fatal(err)
		}
		tree, err := conf.Load(conf.Options{Files: []string{file}, Sections: []conf.Spec{all[0].Section, all[1].Section, all[2].Section}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Assemble(all, tree)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.config, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: got %v", c.config, err)
		}
	}
}
