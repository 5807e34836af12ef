package fpmimport

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Limits of what is read: far above any configuration of PHP-FPM.
const (
	maxFile    = 1 << 20
	maxFiles   = 10_000
	maxInclude = 5 // as in FPM
)

// line is one directive as it was written.
type line struct {
	place string // file:line
	name  string // "pm.max_children", "env"
	key   string // of env[KEY]
	value string // expanded
	raw   string // as it was written
}

// full is the name with its key.
func (l line) full() string {
	if l.key == "" {
		return l.name
	}
	return l.name + "[" + l.key + "]"
}

// section is [global] or a pool.
type section struct {
	name  string
	place string
	lines []line
}

// source reads files and what they include.
type source struct {
	env      lookup
	prefix   string // relative paths of include= start here
	files    []string
	global   section
	pools    []*section
	problems []string
}

func (s *source) problem(place, format string, args ...any) {
	s.problems = append(s.problems, place+": "+fmt.Sprintf(format, args...))
}

var (
	sectionLine = regexp.MustCompile(`^\[([^\]]*)\]\s*(;.*)?$`)
	keyed       = regexp.MustCompile(`^([a-zA-Z0-9_.]+)\[([^\]]*)\]$`)
)

// read reads one file. current is the section it is included in.
func (s *source) read(file string, current *section, depth int, globalOnly bool) *section {
	switch {
	case depth > maxInclude:
		s.problem(file, "is included %d files deep; PHP-FPM refuses that, too", depth)
		return current
	case len(s.files) >= maxFiles:
		s.problem(file, "is one file too many")
		return current
	case slices.Contains(s.files, file):
		s.problem(file, "is included twice; it was read once")
		return current
	}
	text, err := readFile(file)
	if err != nil {
		s.problem(file, "%v", err)
		return current
	}
	s.files = append(s.files, file)
	for n, raw := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		place := fmt.Sprintf("%s:%d", file, n+1)
		text := strings.TrimSpace(raw)
		if text == "" || text[0] == ';' {
			continue
		}
		if m := sectionLine.FindStringSubmatch(text); m != nil {
			current = s.section(strings.TrimSpace(m[1]), place)
			continue
		}
		name, rest, ok := strings.Cut(text, "=")
		if !ok || text[0] == '#' {
			s.problem(place, "%q is no directive: name = value; a comment begins with ;", text)
			continue
		}
		value, err := parseValue(rest, s.env)
		if err != nil {
			s.problem(place, "%s: %v", strings.TrimSpace(name), err)
			continue
		}
		l := line{place: place, name: strings.TrimSpace(name), value: value, raw: strings.TrimSpace(rest)}
		if m := keyed.FindStringSubmatch(l.name); m != nil {
			l.name, l.key = m[1], m[2]
			if m[1] == "access.suppress_path" {
				l.key = "" // a list: its key is empty as a rule
			}
		}
		switch {
		case l.name == "include":
			if !globalOnly {
				current = s.include(l, filepath.Dir(file), current, depth)
			}
		case !globalOnly || current == &s.global:
			if current != &s.global {
				l.value = strings.ReplaceAll(l.value, "$pool", current.name)
			}
			current.lines = append(current.lines, l)
		}
	}
	return current
}

// section returns the section of the name: pools may be continued.
func (s *source) section(name, place string) *section {
	if strings.EqualFold(name, "global") {
		return &s.global
	}
	for _, p := range s.pools {
		if p.name == name {
			return p
		}
	}
	s.pools = append(s.pools, &section{name: name, place: place})
	return s.pools[len(s.pools)-1]
}

// include reads what an include= means. A relative pattern starts at PHP's own
// prefix, which is not known here: it is looked for above the including file, too.
func (s *source) include(l line, folder string, current *section, depth int) *section {
	patterns := []string{l.value}
	if !filepath.IsAbs(l.value) {
		patterns = []string{filepath.Join(s.prefix, l.value)}
		for at := folder; ; at = filepath.Dir(at) {
			patterns = append(patterns, filepath.Join(at, l.value))
			if at == filepath.Dir(at) {
				break
			}
		}
	}
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			s.problem(l.place, "include: %s: %v", pattern, err)
			return current
		}
		if len(files) == 0 {
			continue
		}
		for _, file := range files {
			current = s.read(file, current, depth+1, false)
		}
		return current
	}
	if !strings.ContainsAny(l.value, "*?[") {
		s.problem(l.place, "include: there is no file %s", l.value)
	}
	return current
}

func readFile(path string) (string, error) {
	plain := func(err error) error {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			return pathErr.Err
		}
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", plain(err)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", plain(err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", plain(err)
	}
	if len(text) > maxFile {
		return "", errors.New("is larger than 1 MiB")
	}
	return string(text), nil
}
