package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// run runs a command of the binary to its end.
func run(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, serverBinary, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("%q: %v", args, err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%q does not end:\n%s%s", args, out.String(), errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestCheckOfAGoodConfiguration(t *testing.T) {
	t.Parallel()
	needPHP(t)
	dir := folder(t, options{})
	stdout, stderr, code := run(t, dir, "check", "--config", "config/tqserver.yaml")
	if code != 0 || !strings.Contains(stdout, "valid") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if exists(dir + "/f.sock") {
		t.Error("check made the socket")
	}
	if left := leftovers(dir); len(left) > 0 {
		t.Errorf("check left %v in the runtime folder", left)
	}
}

// leftovers are what the runtime folder holds, its lock file left out.
func leftovers(dir string) []string {
	var left []string
	entries, _ := os.ReadDir(dir + "/run")
	for _, e := range entries {
		if e.Name() != ".lock" {
			left = append(left, e.Name())
		}
	}
	return left
}

// wantProblem is one line that names a place and all the words.
func wantProblem(t *testing.T, text, file string, words ...string) {
	t.Helper()
	place := regexp.MustCompile(regexp.QuoteMeta(file) + `:[1-9][0-9]*:[1-9][0-9]*: `)
	for line := range strings.Lines(text) {
		if place.MatchString(line) && hasAll(line, words) {
			return
		}
	}
	t.Errorf("no line has %s:LINE:COLUMN: and %q", file, words)
}

func hasAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	needPHP(t)
	app := "workers/app/config/worker.yaml"
	type problem struct {
		file  string
		words []string
	}
	for name, test := range map[string]struct {
		files    map[string]string
		sets     []string
		problems []problem // with file, line and column
		words    []string  // anywhere
	}{
		"mistakes of the server's sections": {
			files: map[string]string{"config/tqserver.yaml": `
http:
  listn: ["127.0.0.1:0"]
  idle_timeout: 10
fastcgi:
  listen: "127.0.0.1:0"
  max_body_size: 12 parsecs
  max_body_size: 1MiB
htpp:
router:
backend:
  workers: workers
log:
  level: loud
`},
			problems: []problem{
				{"config/tqserver.yaml", []string{"http.listn"}},
				{"config/tqserver.yaml", []string{"http.idle_timeout"}},
				{"config/tqserver.yaml", []string{"fastcgi.listen"}},
				{"config/tqserver.yaml", []string{"max_body_size"}},
				{"config/tqserver.yaml", []string{"htpp"}},
				{"config/tqserver.yaml", []string{"log.level"}},
			},
		},
		"mistakes of several workers": {
			files: map[string]string{
				app:                              "path: /\ntype: php\ndocument_root: public\nphp:\n  setings: {}\n  pool: {max_workers: 0}\n",
				"workers/go/config/worker.yaml":  "path: /go\ntype: go\ngo:\n  binary: bin/missing\n",
				"workers/bad/config/worker.yaml": "path: bad\ntype: php\ndocument_root: public\nhots: [a]\n",
			},
			problems: []problem{
				{app, []string{"php.setings"}},
				{app, []string{"php.pool.max_workers"}},
				{"workers/go/config/worker.yaml", []string{"go.binary", "missing"}},
				{"workers/bad/config/worker.yaml", []string{"hots"}},
				{"workers/bad/config/worker.yaml", []string{"path"}},
			},
		},
		"a php setting that does not exist": {
			files:    map[string]string{app: "path: /\ntype: php\ndocument_root: public\nphp:\n  admin_settings: {memory_limitt: 1M}\n"},
			problems: []problem{{app, []string{"php.admin_settings.memory_limitt"}}},
		},
		"a php-cgi that does not exist": {
			files:    map[string]string{app: "path: /\ntype: php\ndocument_root: public\nphp:\n  binary: /nowhere/php-cgi\n"},
			problems: []problem{{app, []string{"php.binary", "/nowhere/php-cgi"}}},
		},
		"an unknown type of worker": {
			files:    map[string]string{app: "path: /\ntype: cobol\n"},
			problems: []problem{{app, []string{"type", "cobol"}}},
		},
		"a missing document root": {
			files:    map[string]string{app: "path: /\ntype: php\ndocument_root: nowhere\n"},
			problems: []problem{{app, []string{"document_root", "nowhere"}}},
		},
		"two workers with one route": {
			files: map[string]string{
				"workers/other/config/worker.yaml": "path: /\ntype: php\ndocument_root: public\n", "workers/other/public/x.php": "",
			},
			words: []string{"app", "other", "route"},
		},
		"one address twice": {
			sets: []string{"http.listen=['127.0.0.1:1']", "fastcgi.listen=['127.0.0.1:1']"}, words: []string{"http", "fastcgi", "127.0.0.1:1"},
		},
		"no yaml":       {files: map[string]string{"config/tqserver.yaml": "http: [\n"}, words: []string{"config/tqserver.yaml"}},
		"nothing on":    {files: map[string]string{"config/tqserver.yaml": "router:\nbackend: {workers: workers}\n"}, words: []string{"http"}},
		"no workers":    {sets: []string{"backend.workers=nowhere"}, words: []string{"nowhere"}},
		"a bad --set":   {sets: []string{"http.nonsense=1"}, words: []string{"http.nonsense"}},
		"an empty file": {files: map[string]string{"config/tqserver.yaml": ""}, words: []string{"config"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, options{files: test.files})
			for _, command := range []string{"check", "serve"} {
				args := []string{command, "--config", "config/tqserver.yaml"}
				for _, set := range test.sets {
					args = append(args, "--set", set)
				}
				stdout, stderr, code := run(t, dir, args...)
				if code != 1 {
					t.Errorf("%s: exit code %d, want 1", command, code)
				}
				for _, p := range test.problems {
					wantProblem(t, stderr, p.file, p.words...)
				}
				if !hasAll(stderr, test.words) {
					t.Errorf("%s: not all of %q", command, test.words)
				}
				if strings.Contains(stderr, "goroutine ") || strings.Contains(stderr, "fx.") || strings.Contains(stderr, "reflect.") {
					t.Errorf("%s: talks of its insides", command)
				}
				if t.Failed() {
					t.Fatalf("%s says:\n%s%s", command, stdout, stderr)
				}
			}
			if left := leftovers(dir); len(left) > 0 {
				t.Errorf("left in the runtime folder: %v", left)
			}
		})
	}
}

func TestMissingConfigurationFile(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"check", "serve", "modules"} {
		_, stderr, code := run(t, t.TempDir(), command, "--config", "nowhere.yaml")
		if code != 1 || !strings.Contains(stderr, "nowhere.yaml") {
			t.Errorf("%s: exit code %d: %s", command, code, stderr)
		}
	}
}

func TestModulesCommand(t *testing.T) {
	t.Parallel()
	dir := folder(t, options{})
	write(t, dir+"/config/tqserver.yaml", "http:\nrouter:\nbackend: {workers: workers}\n")
	stdout, stderr, code := run(t, dir, "modules", "--config", "config/tqserver.yaml")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for id, state := range map[string]string{"http": "on", "fastcgi": "off", "router": "on", "static": "off", "backend": "on"} {
		if !regexp.MustCompile(`(?m)^` + id + `\s+` + state + `\s+\S`).MatchString(stdout) {
			t.Errorf("%s is not %s:\n%s", id, state, stdout)
		}
	}
}

func TestVersionCommand(t *testing.T) {
	t.Parallel()
	if stdout, _, code := run(t, t.TempDir(), "version"); code != 0 || !regexp.MustCompile(`^tqserver \S+ go1\.\S+ \w+/\w+\n$`).MatchString(stdout) {
		t.Errorf("exit code %d: %q", code, stdout)
	}
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stdout, _, _ := run(t, dir, "--help")
	_, list, _ := strings.Cut(stdout, "Available Commands:")
	list, _, _ = strings.Cut(list, "\n\n")
	commands := [][]string{nil}
	for line := range strings.Lines(list) {
		if name := strings.Fields(line); len(name) > 0 && name[0] != "help" {
			commands = append(commands, name[:1])
		}
	}
	if len(commands) < 6 {
		t.Fatalf("few commands: %v in\n%s", commands, stdout)
	}
	for _, command := range commands {
		stdout, stderr, code := run(t, dir, append(command, "--help")...)
		if code != 0 || !strings.Contains(stdout, "Examples:") || !strings.Contains(stdout, "tqserver ") {
			t.Errorf("%v --help: exit code %d, without examples:\n%s%s", command, code, stdout, stderr)
		}
	}
}

func TestPluginByHandExplainsItself(t *testing.T) {
	t.Parallel()
	stdout, stderr, code := run(t, t.TempDir(), "plugin", "php")
	if code == 0 || !strings.Contains(stdout+stderr, "plugin") || strings.Contains(stdout+stderr, "goroutine ") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	stdout, stderr, code = run(t, t.TempDir(), "plugin", "nonsense")
	if code == 0 || !strings.Contains(stderr, "nonsense") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if _, stderr, code := run(t, t.TempDir(), "nonsense"); code == 0 || !strings.Contains(stderr, "nonsense") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
