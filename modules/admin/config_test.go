package admin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/conf/conftest"
)

func TestConfig(t *testing.T) { conftest.Section(t, Section, Section.Defaults()) }

// TestExamplesOfTheREADMELoad loads its configurations as they stand; the token's file,
// which nobody has, aside.
func TestExamplesOfTheREADMELoad(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(page), "```yaml\n")[1:]
	if len(examples) < 2 {
		t.Fatalf("%d examples", len(examples))
	}
	for i, example := range examples {
		example, _, _ = strings.Cut(example, "```")
		file := filepath.Join(t.TempDir(), "example.yaml")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(example, "file:/etc/tqserver/admin-token", "text:secret")), 0o600); err != nil {
			t.Fatal(err)
		}
		tree, err := conf.Load(conf.Options{Files: []string{file}, Sections: []conf.Spec{Section}})
		if err == nil {
			_, err = Section.Decode(tree)
		}
		if err != nil {
			t.Errorf("example %d: %v", i, err)
		}
	}
}
