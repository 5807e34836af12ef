package app

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/fx"
	"go.uber.org/goleak"

	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/module"
	"github.com/mevdschee/tqserver/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type echoConfig struct {
	Text string `conf:"text" doc:"What it says."`
}

// testBuild has one module, "echo".
func testBuild() Build {
	section := conf.NewSection("echo", func() echoConfig { return echoConfig{Text: "hi"} })
	return Build{
		Version: "1.2.3",
		Modules: []module.Descriptor{{ID: "echo", Summary: "Says it.", Section: section, Options: fx.Module("echo", fx.Provide(section.Decode))}},
		Plugins: []Plugin{{Name: "php", New: func(*slog.Logger) sdk.Plugin { return nil }}},
	}
}

func exec(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), testBuild(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			if c.Example == "" || c.Short == "" {
				t.Errorf("%s: has no example or no short description", c.CommandPath())
			}
			code, out, _ := exec(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
			if code != exitOK || !strings.Contains(out, "Examples:") {
				t.Errorf("%s --help: exit code %d\n%s", c.CommandPath(), code, out)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand(testBuild()))
}

func TestVersion(t *testing.T) {
	if code, out, _ := exec(t, "version"); code != exitOK || !strings.HasPrefix(out, "tqserver 1.2.3 go1.") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestModulesSaysWhatIsOn(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{"echo:\n", "echo  on  Says it.\n"},
		{"# nothing\n", "echo  off  Says it.\n"},
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(c.config), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, errs := exec(t, "modules", "--config", file); code != exitOK || out != c.want {
			t.Errorf("exit code %d: %q %s", code, out, errs)
		}
	}
}

func TestMistakesAreTold(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder) // what is wrong is checked as far as it goes, in the default runtime folder
	bad := filepath.Join(folder, "bad.yaml")
	if err := os.WriteFile(bad, []byte("echo:\n  txt: x\nserver:\n  drain_timeout: 10\nunknown:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(folder, "empty.yaml")
	if err := os.WriteFile(empty, []byte("echo:\nserver: {runtime_folder: "+folder+"/run}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"no such file", []string{"check", "--config", filepath.Join(folder, "none.yaml")}, []string{"none.yaml"}},
		{"several at once", []string{"check", "--config", bad}, []string{"bad.yaml:2:3: echo.txt", "bad.yaml:4:3: server.drain_timeout", "bad.yaml:5:1: unknown"}},
		{"--set", []string{"check", "--config", empty, "--set", "echo.txt=1"}, []string{"--set echo.txt"}},
		{"nothing to serve", []string{"check", "--config", empty}, []string{"nothing to serve"}},
		{"unknown command", []string{"sevre"}, []string{`unknown command "sevre"`}},
		{"unknown plugin", []string{"plugin", "ruby"}, []string{`invalid argument "ruby"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, errs := exec(t, c.args...)
			if code != exitFailed {
				t.Errorf("exit code %d", code)
			}
			for _, want := range c.want {
				if !strings.Contains(errs, want) {
					t.Errorf("no %q in:\n%s", want, errs)
				}
			}
		})
	}
}
