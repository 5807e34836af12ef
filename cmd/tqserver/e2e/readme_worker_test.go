package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// blocks are the fenced blocks of one language in a page of the repository.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, page))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for rest := string(text); ; {
		_, after, ok := strings.Cut(rest, "\n```"+language+"\n")
		if !ok {
			break
		}
		block, behind, ok := strings.Cut(after, "\n```")
		if !ok {
			t.Fatalf("%s: a block without an end", page)
		}
		found, rest = append(found, block+"\n"), behind
	}
	if len(found) == 0 {
		t.Fatalf("%s has no block of %s", page, language)
	}
	return found
}

// The Go worker in ten lines and the worker.yaml files of README.md, as they
// stand there.
func TestREADMEWorkers(t *testing.T) {
	t.Parallel()
	needPHP(t)
	needNode(t)
	yaml := blocks(t, "README.md", "yaml")
	if len(yaml) != 3 {
		t.Fatalf("README.md has %d blocks of yaml, want those of the Go worker, the PHP worker and the program", len(yaml))
	}
	dir := folder(t, options{workers: []string{}, files: map[string]string{
		"hello.go":                         blocks(t, "README.md", "go")[0],
		"workers/hello/config/worker.yaml": yaml[0],
		"workers/shop/config/worker.yaml":  yaml[1],
		"workers/shop/public/index.php":    "<?php echo 'the shop';",
		"workers/chat/config/worker.yaml":  yaml[2],
		"workers/chat/server.js":           nodeExample(t)["workers/node/server.js"],
	}})
	build(t, filepath.Join(dir, "hello.go"), filepath.Join(dir, "workers/hello/bin/hello"))
	if err := os.Remove(filepath.Join(dir, "hello.go")); err != nil {
		t.Fatal(err)
	}
	s := start(t, options{dir: dir})
	if a := must(t, newClient(t), 200, "GET", "http://"+s.http+"/hello/you", nil); !strings.HasPrefix(a.body, "Hello 127.0.0.1:") ||
		!strings.HasSuffix(a.body, ", you asked for /hello/you\n") {
		t.Errorf("the Go worker says %q", a.body)
	}
	if a := must(t, newClient(t), 200, "GET", "http://"+s.http+"/shop/", nil); a.body != "the shop" {
		t.Errorf("the PHP worker says %q", a.body)
	}
	if saw := decode[nodeSaw](t, must(t, newClient(t), 200, "GET", "http://"+s.http+"/chat/room", nil).body); saw.URL != "/chat/room" {
		t.Errorf("the program has seen %+v", saw)
	}
}

// build builds one file as a program of this module, which it is not part of.
func build(t *testing.T, source, binary string) {
	t.Helper()
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "workers/readme/main.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", file, "-o", binary, "./workers/readme")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The nginx configuration that docs/guide shows for those who come from
// PHP-FPM, with its paths and port changed.
func TestGuideNginxConfiguration(t *testing.T) {
	t.Parallel()
	needPHP(t)
	site := blocks(t, "docs/guide/web-servers.md", "nginx")[0]
	s := start(t, options{files: map[string]string{"workers/app/public/index.php": "<?php echo 'index ', $_SERVER['REQUEST_URI'];"}})
	site = strings.NewReplacer("/srv/blog/public", s.path("workers/app/public"), "/run/tqserver/fastcgi.sock", s.unix,
		"include fastcgi_params", "include /etc/nginx/fastcgi_params", "    listen 127.0.0.1:8083;\n", "").Replace(site)
	site = strings.TrimSuffix(strings.TrimPrefix(site, "server {\n"), "}\n") // startNginx gives the rest
	n := s.startNginx(t, site)
	for path, want := range map[string]string{
		"/no/such/page?a=b": "index /no/such/page?a=b",
		"/index.php/extra":  "index /index.php/extra",
	} {
		if a := must(t, newClient(t), 200, "GET", "http://"+n.addresses[0]+path, nil); a.body != want {
			t.Errorf("%s: %q, want %q", path, a.body, want)
		}
	}
}
