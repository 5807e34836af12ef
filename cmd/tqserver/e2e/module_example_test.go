package e2e

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A module of somebody else's is built outside the tree as the guide says, with
// what the module cache has, and works.
func TestModuleOutsideTheTree(t *testing.T) {
	const page = "docs/guide/write-a-module.md"
	source, err := os.ReadFile(filepath.Join(repository, "config/examples/module/main.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks(t, page, "go") {
		if !strings.Contains(string(source), block) {
			t.Errorf("the example has not what %s shows:\n%s", page, block)
		}
	}
	mine := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-ec", blocks(t, page, "sh")[0])
	cmd.Dir = mine
	cmd.Env = append(os.Environ(), "TQSERVER="+repository, "GOPROXY=off", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building as %s says: %v\n%s", page, err, out)
	}
	example := strings.ReplaceAll(baseConfig, "router:\n", "") + blocks(t, page, "yaml")[0]
	binary := filepath.Join(mine, "mine")
	o := options{binary: binary, workers: []string{"app"}, files: map[string]string{"config/tqserver.yaml": example}}
	needPHP(t)
	o.dir = folder(t, o)
	for _, c := range []struct{ args, want string }{
		{"check", "the configuration is valid"},
		{"modules", "Adds a header to every response."},
		{"config explain greeting.text", "What the header says."},
		{"check --set router.middleware=[greting]", `router.middleware[0]: no middleware is named "greting"; there is access_log, greeting`},
		{"check --set greeting.text=ä", "greeting.text: give a text of printable ASCII"},
	} {
		cmd := exec.CommandContext(ctx, binary, strings.Fields(c.args)...)
		cmd.Dir = o.dir
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), c.want) {
			t.Errorf("%s: no %q in:\n%s", c.args, c.want, out)
		}
	}
	s := start(t, o)
	resp, err := http.Get("http://" + s.http + "/index.php")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if got := resp.Header.Get("X-Greeting"); got != "hello" {
		t.Errorf("X-Greeting: %q, status %s", got, resp.Status)
	}
	s.expectLine(t, "access.log", `"GET /index.php HTTP/1.1" `)
}
