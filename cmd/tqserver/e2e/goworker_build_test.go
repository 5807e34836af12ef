package e2e

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const helloMain = `package main

import (
	_ "embed"
	"fmt"
	"net/http"
	"os"

	"example.org/hello/greet"
	"github.com/mevdschee/tqserver/sdk"
)

//go:embed page.txt
var page string

func main() {
	sdk.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, greet.Text, " ", page, os.Getenv("PUNCTUATION"))
	}))
}
`

// hello are the files of a Go worker that has source and no executable, a module
// of its own outside of the repository.
func hello(t *testing.T, more map[string]string) map[string]string {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	mod := strings.Replace(read("go.mod"), "module github.com/mevdschee/tqserver", "module example.org/hello", 1) +
		"\nrequire github.com/mevdschee/tqserver v0.0.0\nreplace github.com/mevdschee/tqserver => " + repository + "\n"
	files := map[string]string{
		"workers/hello/config/worker.yaml": "path: /\ntype: go\n",
		"workers/hello/go.mod":             mod,
		"workers/hello/go.sum":             read("go.sum"),
		"workers/hello/main.go":            helloMain,
		"workers/hello/page.txt":           "page one",
		"workers/hello/greet/greet.go":     "package greet\n\nconst Text = \"hello one\"\n",
		"workers/hello/main_test.go":       "package main\n\nimport \"example.org/nowhere\"\n",
	}
	maps.Copy(files, more)
	return files
}

// goEnvironment is what the go command needs of the test's own caches.
func goEnvironment(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	dirs := strings.Fields(string(out))
	return []string{"GOCACHE=" + dirs[0], "GOMODCACHE=" + dirs[1], "GOPROXY=off", "GOFLAGS=-mod=readonly -ldflags=-w", "GOWORK=off"} // links in half the time
}

// building is for servers that build what they serve.
func building(t *testing.T, o options) options {
	t.Helper()
	o.workers, o.env, o.within = []string{}, goEnvironment(t), 3*time.Minute
	return o
}

// command is a command that may have to wait for a build.
func command(t *testing.T, dir string, args ...string) (said string, code int) {
	t.Helper()
	said, err := shell(t, dir, time.Minute, append([]string{serverBinary}, append(args, "--config", "config/tqserver.yaml")...)...)
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return said, failed.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return said, 0
}

// A worker's source is built at the start and at a restart when it is newer than
// the executable; what does not build is told with file and line, and what serves
// goes on.
func TestGoWorkerIsBuilt(t *testing.T) {
	t.Parallel()
	s := start(t, building(t, options{files: hello(t, nil)}))
	client := newClient(t)
	says := func(want string) {
		t.Helper()
		if got := must(t, client, 200, "GET", "http://"+s.http+"/", nil).body; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	says("hello one page one")
	restart := func(want int) string {
		t.Helper()
		said, code := command(t, s.dir, "restart", "hello")
		if code != want {
			t.Fatalf("restart: exit code %d: %s", code, said)
		}
		return said
	}
	built := func() (n int) {
		for _, line := range s.log.all() {
			if line.msg == "built" {
				n++
			}
		}
		return n
	}
	before, err := os.Stat(s.path("workers/hello/bin/hello"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.path("workers/hello/other_test.go"), "package main\n") // no part of it
	restart(0)
	if after, err := os.Stat(s.path("workers/hello/bin/hello")); err != nil || !os.SameFile(before, after) || built() != 1 {
		t.Errorf("it was built again without a reason: %v", err)
	}
	write(t, s.path("workers/hello/greet/greet.go"), "package greet\n\nconst Text = \"hello two\"\n")
	restart(0)
	says("hello two page one")
	write(t, s.path("workers/hello/page.txt"), "page two")
	restart(0)
	says("hello two page two")

	worker := s.path("workers/hello/config/worker.yaml")
	write(t, worker, "path: /\ntype: go\ngo:\n  env: {PUNCTUATION: \"!\"}\n")
	if said, code := command(t, s.dir, "reload"); code != 0 {
		t.Fatal(said)
	}
	says("hello two page two!")
	write(t, worker, "path: /\ntype: go\ngo:\n  env: {PLUGIN_X: \"?\"}\n")
	if said, code := command(t, s.dir, "check"); code != 1 || !strings.Contains(said, "worker.yaml:4:9: go.env.PLUGIN_X:") {
		t.Errorf("check: exit code %d: %s", code, said)
	}
	write(t, worker, "path: /\ntype: go\n")

	write(t, s.path("workers/hello/greet/greet.go"), "package greet\n\nconst Text = nobody\n")
	mistake := s.path("workers/hello/greet/greet.go") + ":3:14: undefined: nobody"
	if said := restart(1); !strings.Contains(said, mistake) || !strings.Contains(said, "the old ones serve on") {
		t.Errorf("%s", said)
	}
	says("hello two page two!")
	if said, code := command(t, s.dir, "check"); code != 1 || !strings.Contains(said, mistake) {
		t.Errorf("check: exit code %d: %s", code, said)
	}
	entries, err := os.ReadDir(s.path("workers/hello/bin"))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the executable: %v %v", entries, err)
	}
}

// In production a program that does not build keeps the server from starting; one
// that has to be built later, at the first request, leads to an error page without source.
func TestGoWorkerThatDoesNotBuild(t *testing.T) {
	t.Parallel()
	files := hello(t, map[string]string{
		"workers/hello/config/worker.yaml": "path: /\ntype: go\ngo:\n  pool: {manager: ondemand}\n",
	})
	dir := folder(t, options{workers: []string{}, files: files})
	write(t, filepath.Join(dir, "workers/hello/main.go"), helloMain+"\nvar x int = nobody\n")
	mistake := regexp.MustCompile(`workers/hello/main\.go:22:13: undefined: nobody`)
	if said, code := command(t, dir, "serve"); code != 1 || !mistake.MatchString(said) {
		t.Errorf("serve: exit code %d: %s", code, said)
	}
	write(t, filepath.Join(dir, "workers/hello/config/worker.yaml"), "path: /\ntype: go\ngo:\n  build: false\n  binary: bin/hello\n")
	if _, stderr, code := run(t, dir, "check", "--config", "config/tqserver.yaml"); code != 1 || !strings.Contains(stderr, "worker.yaml:5:3: go.binary: there is no ") {
		t.Errorf("check: exit code %d: %s", code, stderr)
	}
	write(t, filepath.Join(dir, "workers/hello/config/worker.yaml"), files["workers/hello/config/worker.yaml"])
	write(t, filepath.Join(dir, "workers/hello/main.go"), helloMain)
	s := start(t, building(t, options{dir: dir}))
	write(t, s.path("workers/hello/main.go"), helloMain+"\nvar x int = nobody\n")
	s.allow("cannot be started", "could not be started")
	a, err := do(newClient(t), "GET", "http://"+s.http+"/", nil, "Accept", "text/html")
	if err != nil || a.StatusCode != 502 || strings.Contains(a.body, "main.go") {
		t.Errorf("%v %v %s", err, a.Response, a.body)
	}
	if line := s.log.wait(t, 10*time.Second, 0, "cannot be started"); !mistake.MatchString(line.text("error")) {
		t.Errorf("%s", line.raw)
	}
}

// With --dev a change of the source takes over while requests run, and none fails;
// one that does not build is shown to browsers, and the version before serves on.
func TestGoWorkerInDevelopment(t *testing.T) {
	t.Parallel()
	s := start(t, building(t, options{files: hello(t, nil), args: []string{"--dev"}}))
	s.allow("does not build")
	client := newClient(t)
	url := "http://" + s.http + "/"
	says := func(want string) {
		t.Helper()
		poll(t, time.Minute, want, func() bool {
			a, err := do(client, "GET", url, nil, "Accept", "text/html")
			return err == nil && a.StatusCode == 200 && a.body == want
		})
	}
	says("hello one page one")
	stop, answers := hammer(t, url, 1)
	write(t, s.path("workers/hello/greet/greet.go"), "package greet\n\nconst Text = \"hello two\"\n")
	says("hello two page one")
	write(t, s.path("workers/hello/greet/greet.go"), "package greet\n\nconst Text = \"<nobody>\" + nobody\n")
	var page answer
	poll(t, time.Minute, "the page that shows what is wrong", func() bool {
		var err error
		page, err = do(client, "GET", url, nil, "Accept", "text/html,*/*")
		return err == nil && page.StatusCode == 500
	})
	for _, want := range []string{"hello does not build", s.path("workers/hello/greet/greet.go") + ":3:27: undefined: nobody", "The version before still answers"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("no %q in %s", want, page.body)
		}
	}
	if got := must(t, client, 200, "GET", url, nil).body; got != "hello two page one" {
		t.Errorf("%q", got)
	}
	write(t, s.path("workers/hello/more/more.go"), "package more\n\nconst Text = \"more one\"\n")
	write(t, s.path("workers/hello/greet/greet.go"), "package greet\n\nimport \"example.org/hello/more\"\n\nconst Text = more.Text\n")
	says("more one page one")
	write(t, s.path("workers/hello/more/more.go"), "package more\n\nconst Text = \"more two\"\n") // in a folder that is new
	says("more two page one")
	stop()
	for got, n := range answers() {
		if !strings.HasPrefix(got, "200 ") {
			t.Errorf("%d times %q", n, got)
		}
	}
}

// A server under development starts with a worker that does not build, and serves
// it when it does.
func TestGoWorkerInDevelopmentFromTheStart(t *testing.T) {
	t.Parallel()
	s := start(t, building(t, options{
		files: hello(t, map[string]string{"workers/hello/main.go": "package main\n\nfunc main() {\n"}), args: []string{"--dev"},
	}))
	s.allow("does not build")
	client := newClient(t)
	a := must(t, client, 500, "GET", "http://"+s.http+"/", nil)
	if !strings.Contains(a.body, s.path("workers/hello/main.go")+":4:1: syntax error") || strings.Contains(a.body, "<") {
		t.Errorf("%s", a.body)
	}
	write(t, s.path("workers/hello/main.go"), helloMain)
	poll(t, time.Minute, "the worker serves", func() bool {
		a, err := do(client, "POST", "http://"+s.http+"/", nil)
		return err == nil && a.StatusCode == 200 && a.body == "hello one page one"
	})
}
