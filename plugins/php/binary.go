package php

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// probeTimeout bounds each question to a binary: it starts in milliseconds, a
// slow disk aside.
const probeTimeout = 10 * time.Second

// errNoBinary says what to do about it.
var errNoBinary = errors.New("no php-cgi found on PATH: install it (Debian and Ubuntu: apt-get install php-cgi; Fedora: dnf install php-cli; Alpine: apk add php-cgi) or set binary")

// interpreter is a php-cgi that was asked what it is.
type interpreter struct {
	path    string
	version string // "8.2.36"
}

// asker asks php-cgis what they are, or remembers what they have said.
type asker struct {
	cache *cache
	file  string // see cacheFile
}

// findBinary returns the php-cgi to run: name, looked up from folder when it
// is relative with a slash and on PATH when it has none; the newest on PATH
// when name is empty.
func (a asker) findBinary(ctx context.Context, name, folder string) (interpreter, error) {
	if name != "" {
		path, err := locate(name, folder)
		if err != nil {
			return interpreter{}, fmt.Errorf("%w; install it (apt-get install php-cgi) or name another", err)
		}
		return a.askVersion(ctx, path)
	}
	var best interpreter
	var errs []error
	for _, path := range a.cache.candidates(searchPath()) {
		b, err := a.askVersion(ctx, path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if best.path == "" || compareVersions(b.version, best.version) > 0 {
			best = b
		}
	}
	if best.path != "" {
		return best, nil
	}
	return interpreter{}, errors.Join(append(errs, errNoBinary)...)
}

// searchPath is PATH, or what it is as a rule: a service may have none.
func searchPath() []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	return filepath.SplitList(path)
}

// locate finds a configured binary.
func locate(name, folder string) (path string, err error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(folder, name)
		}
		return exec.LookPath(name)
	}
	for _, dir := range searchPath() {
		if path, err = exec.LookPath(filepath.Join(dir, name)); err == nil && filepath.IsAbs(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not on PATH", name)
}

// candidates are the files named php-cgi, php-cgi8.4, php-cgi-8.3 or php84-cgi in
// dirs, each once: php-cgi is a symlink to another of them as a rule.
func candidates(dirs []string) []string {
	name := regexp.MustCompile(`^php-cgi-?[0-9.]*$|^php[0-9]+-cgi$`)
	var found, real []string
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir) // PATH may name folders that do not exist
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if !filepath.IsAbs(path) || !name.MatchString(e.Name()) {
				continue
			}
			target, err := filepath.EvalSymlinks(path)
			if err != nil || slices.Contains(real, target) {
				continue
			}
			found, real = append(found, path), append(real, target)
		}
	}
	return found
}

// askVersion runs path -v, without php.ini and its extensions, which take most of the
// time of a start.
func (a asker) askVersion(ctx context.Context, path string) (interpreter, error) {
	question := questionOf("version", path)
	done, err := a.cache.turn(ctx, question)
	if err != nil {
		return interpreter{}, err
	}
	defer done()
	if said, ok := a.cache.get(a.file, question); ok && len(said) == 1 {
		return interpreter{path: path, version: said[0]}, nil
	}
	out, _, err := ask(ctx, path, "", "-n", "-v")
	first, _, _ := strings.Cut(out, "\n")
	m := regexp.MustCompile(`^PHP ([0-9]+(?:\.[0-9]+)*)\S* \(([^)]*)\)`).FindStringSubmatch(first)
	switch {
	case err != nil:
		return interpreter{}, fmt.Errorf("%s -v: %w", path, err)
	case m == nil:
		return interpreter{}, fmt.Errorf("%s is not PHP: %q was its answer to -v", path, cut(first, 100))
	case m[2] != "cgi-fcgi":
		return interpreter{}, fmt.Errorf("%s is PHP for %s, not php-cgi (cgi-fcgi): apt-get install php-cgi", path, m[2])
	}
	a.cache.put(a.file, question, path, nil, []string{m[1]})
	return interpreter{path: path, version: m[1]}, nil
}

// probe is what a php-cgi says of itself with a configuration.
type probe struct {
	iniFile string          // the php.ini it loads, or empty
	names   map[string]bool // the settings it knows, not to be changed; nil when it did not say
}

// settingsScript tells the settings there are, and the files and folders that
// decide it: php.ini and where it may be, the files of conf.d, the extensions.
const settingsScript = `<?php echo "\n{tq ", php_ini_loaded_file(), "\n", implode(" ", array_keys(ini_get_all(null, false))), "\n",
implode("\n", [PHP_CONFIG_FILE_PATH, ini_get("extension_dir"), ...explode(":", PHP_CONFIG_FILE_SCAN_DIR), ...explode(",\n", (string) php_ini_scanned_files())]), " tq}\n";`

// askSettings runs a few lines of PHP with args. Answers come between marks,
// since php.ini may make PHP print other things.
func (a asker) askSettings(ctx context.Context, path, iniFile string, args []string) (probe, error) {
	if iniFile != "" {
		args = append([]string{"-c", iniFile}, args...)
	}
	question := questionOf(append([]string{"settings", path}, args...)...)
	done, err := a.cache.turn(ctx, question)
	if err != nil {
		return probe{}, err
	}
	defer done()
	if said, ok := a.cache.get(a.file, question); ok && len(said) == 2 {
		return a.cache.probe(said[0], said[1]), nil
	}
	args = append([]string{"-q"}, args...)
	args = append(args, "-d", "auto_prepend_file=", "-d", "auto_append_file=", "-d", "opcache.enable=0", "-d", "cgi.force_redirect=0", "-d", "disable_functions=")
	out, complaints, err := ask(ctx, path, settingsScript, args...)
	if err != nil {
		return probe{}, fmt.Errorf("%s: %w", path, err)
	}
	// What cannot be parsed PHP only mentions, and goes on without what follows
	// (Zend/zend_ini_parser.y, ini_error).
	for line := range strings.Lines(complaints) {
		if strings.HasPrefix(line, "PHP:  ") {
			return probe{}, fmt.Errorf("php.ini: %s", strings.TrimSpace(line[len("PHP:  "):]))
		}
	}
	_, said, ok := strings.Cut(out, "\n{tq ")
	said, _, ok2 := strings.Cut(said, " tq}\n")
	lines := strings.Split(said, "\n")
	if !ok || !ok2 || len(lines) < 3 {
		return probe{}, fmt.Errorf("%s does not run a script: %q", path, cut(out, 200))
	}
	files := slices.DeleteFunc(append(lines[2:], lines[0], iniFile), func(f string) bool { return f == "" })
	for i, f := range files {
		files[i] = strings.TrimSpace(f)
	}
	a.cache.put(a.file, question, path, files, lines[:2])
	return newProbe(lines[0], lines[1]), nil
}

func newProbe(iniFile, names string) probe {
	p := probe{iniFile: iniFile, names: map[string]bool{}}
	for name := range strings.FieldsSeq(names) {
		p.names[name] = true
	}
	return p
}

// ask runs path with args and input in an empty environment and returns what
// it prints to both sides.
func ask(ctx context.Context, path, input string, args ...string) (answer, complaints string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{}
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{buf: &out}, &limited{buf: &errOut}
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", "", fmt.Errorf("no answer within %s", probeTimeout)
	case err != nil:
		return "", "", fmt.Errorf("%w %s", err, cut(strings.TrimSpace(errOut.String()), 200))
	}
	return out.String(), errOut.String(), nil
}

// limited keeps the first 1 MiB and drops the rest.
type limited struct{ buf *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	l.buf.Write(p[:min(len(p), 1<<20-l.buf.Len())])
	return len(p), nil
}

// compareVersions compares dotted numbers.
func compareVersions(a, b string) int {
	number := func(s string) (n int) {
		for _, c := range s {
			n = n*10 + int(c-'0')
		}
		return n
	}
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int { return number(x) - number(y) })
}

// cut shortens s to n bytes.
func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
