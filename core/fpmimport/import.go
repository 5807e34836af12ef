package fpmimport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Options say what to import.
type Options struct {
	// Paths are configuration files, or folders of which all *.conf are read.
	Paths []string
	// Out is the folder to write to, absolute.
	Out string
	// Roots are the document roots of pools by name; that of "" is for the others.
	// PHP-FPM has none: without one it is guessed.
	Roots map[string]string
	// Prefix is PHP's installation prefix, where relative paths begin.
	Prefix string
	// RuntimeFolder of the server.
	RuntimeFolder string
	// Env looks up an environment variable, as os.LookupEnv.
	Env func(name string) (string, bool)
	// Known says whether the server has a setting: "log.level",
	// "worker.php.pool.max_workers".
	Known func(key string) bool
	// Check returns what the PHP plugin has against the settings of a worker, by
	// their path below "php"; nil leaves that out.
	Check func(folder, root string, settings json.RawMessage) []Problem
}

// Problem is one thing wrong with a setting.
type Problem struct{ Path, Message string }

// Result is what an import makes. Nothing has been written.
type Result struct {
	// Files by their path below Out.
	Files map[string][]byte
	// Config is the path of tqserver.yaml below Out, Report that of the report.
	Config, Report string
	// Pools are the names of the workers.
	Pools []string
	// Look is what somebody should look at, a line each.
	Look []string
}

// job is one import.
type job struct {
	options Options
	source  source
}

// entry is a directive in the report.
type entry struct {
	directive, value string
	place            string // file:line; empty when it was not written
	def              string // FPM's default
	outcome
}

// shown is the value for the report: env[] holds passwords as a rule.
func (e entry) shown() string {
	if strings.HasPrefix(e.directive, "env[") && e.value != "" && e.value[0] != '$' {
		return "(not shown)"
	}
	return e.value
}

// Import reads the pools and makes workers of them. The error says what is wrong
// with the files: PHP-FPM would not start with them either.
func Import(o Options) (*Result, error) {
	j := &job{options: o, source: source{env: o.Env, prefix: o.Prefix, global: section{name: "global"}}}
	if err := j.read(); err != nil {
		return nil, err
	}
	r := &Result{Files: map[string][]byte{}, Config: "tqserver.yaml", Report: "import-report.md"}
	server := j.server()
	var parts []part
	parts = append(parts, server)
	names := map[string]string{}
	for _, s := range j.source.pools {
		w := j.worker(s)
		if other, ok := names[w.name]; ok {
			return nil, fmt.Errorf("the pools %q and %q would both be the worker %s; rename one", other, s.name, w.name)
		}
		names[w.name] = s.name
		r.Files[filepath.Join("workers", w.name, "config", "worker.yaml")] = w.yaml
		r.Pools = append(r.Pools, w.name)
		parts = append(parts, w)
	}
	r.Files[r.Config] = server.yaml
	for _, p := range parts {
		r.Look = append(r.Look, p.look()...)
	}
	r.Files[r.Report] = report(j.source.files, parts)
	return r, nil
}

// read reads all paths.
func (j *job) read() error {
	current := &j.source.global
	for _, path := range j.options.Paths {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
		if !info.IsDir() {
			current = j.source.read(path, current, 0, false)
			continue
		}
		files, err := filepath.Glob(filepath.Join(path, "*.conf"))
		if err != nil {
			return fmt.Errorf("import %s: %w", path, err)
		}
		if len(files) == 0 {
			return fmt.Errorf("import: there is no *.conf in %s", path)
		}
		// The file that includes the folder has the global directives.
		if global := filepath.Join(filepath.Dir(filepath.Clean(path)), "php-fpm.conf"); !slices.Contains(j.source.files, global) {
			if _, err := os.Stat(global); err == nil {
				j.source.read(global, &j.source.global, 0, true)
			}
		}
		for _, file := range files {
			current = j.source.read(file, current, 0, false)
		}
	}
	for _, p := range j.source.pools {
		for _, needed := range []string{"listen", "pm", "pm.max_children"} {
			if !slices.ContainsFunc(p.lines, func(l line) bool { return l.name == needed }) {
				j.source.problem(p.place, "pool %s: has no %s; PHP-FPM does not start without", p.name, needed)
			}
		}
		if strings.Trim(p.name, ".") == "" {
			j.source.problem(p.place, "%q is no name of a pool", p.name)
		}
	}
	if len(j.source.pools) == 0 {
		j.source.problems = append(j.source.problems, "there is no pool in "+strings.Join(j.options.Paths, ", "))
	}
	if len(j.source.problems) > 0 {
		return errors.New(strings.Join(j.source.problems, "\n"))
	}
	return nil
}

// convert makes entries of all directives of the table, written or not, and of
// those that are in no table.
func (p *pool) convert(s *section, table []directive) []entry {
	p.set = map[string]string{}
	for _, l := range s.lines {
		p.set[l.name] = l.value
	}
	var entries []entry
	for _, d := range table {
		written := false
		for i, l := range s.lines {
			if l.name != d.name {
				continue
			}
			written = true
			e := entry{directive: l.full(), value: l.raw, place: l.place}
			again := slices.ContainsFunc(s.lines[i+1:], func(o line) bool { return o.full() == l.full() })
			if again && l.name != "access.suppress_path" {
				e.outcome = notNeeded("a later line replaces it")
			} else {
				e.outcome = d.convert(p, l)
			}
			entries = append(entries, e)
		}
		if !written {
			why := d.why
			if d.name == "request_terminate_timeout" {
				p.unlimited()
			}
			if why == "" {
				why = "PHP-FPM does nothing without it, either"
			}
			entries = append(entries, entry{directive: d.name, def: d.def, outcome: outcome{verdict: d.unset, why: why}})
		}
	}
	for _, l := range s.lines {
		if !slices.ContainsFunc(table, func(d directive) bool { return d.name == l.name }) {
			entries = append(entries, entry{directive: l.full(), value: l.raw, place: l.place, outcome: outcome{
				verdict: Unknown, why: "PHP-FPM has no such directive; misspelt?", look: true,
			}})
		}
	}
	return entries
}

// part is what became of a section.
type part struct {
	name    string // of the worker; empty for the server
	title   string
	yaml    []byte
	entries []entry
	notes   []string // to look at
}

// look lists what somebody should look at.
func (p part) look() []string {
	lines := slices.Clone(p.notes)
	for _, e := range p.entries {
		if e.look {
			lines = append(lines, fmt.Sprintf("%s: %s = %s: %s", e.place, e.directive, e.shown(), e.why))
		}
	}
	return lines
}

// server makes tqserver.yaml.
func (j *job) server() part {
	p := &pool{job: j, name: "global"}
	set := func(key string, value any, comment string) {
		if j.options.Known(key) {
			p.out.set(strings.Split(key, "."), value, comment)
		}
	}
	set("server.runtime_folder", j.options.RuntimeFolder, "")
	p.out.set([]string{"fastcgi", "listen"}, []string{}, "each worker has an address of its own")
	p.out.set([]string{"router"}, nil, "")
	p.out.set([]string{"backend", "workers"}, filepath.Join(j.options.Out, "workers"), "")
	if name, file := j.accessFile(); file != "" && j.options.Known("access_log.file") {
		p.out.set([]string{"access_log", "file"}, file, "access.log of the pool "+name)
	}
	entries := p.convert(&j.source.global, globals())
	var b bytes.Buffer
	b.WriteString("# Made by `tqserver import php-fpm`; import-report.md tells of every directive.\n")
	p.out.write(&b, "")
	return part{title: "Global directives", yaml: b.Bytes(), entries: entries}
}

func logLevel(p *pool, l line) outcome {
	levels := map[string]string{"debug": "debug", "notice": "info", "warning": "warn", "warn": "warn", "error": "error", "alert": "error"}
	level, ok := levels[strings.ToLower(l.value)]
	if !ok {
		return refused("%q is none of debug, notice, warning, error, alert", l.value)
	}
	if !p.options.Known("log.level") {
		return lost("this version of the server has no log.level")
	}
	p.out.set([]string{"log", "level"}, bareText(level), "")
	return taken("log.level", "")
}

func controlTimeout(p *pool, l line) outcome {
	value, zero, ok := duration(l.value)
	switch {
	case !ok:
		return refused(noTime, l.value)
	case zero:
		return equivalent("server.drain_timeout", "0 cuts requests off in PHP-FPM; here they may finish within 30s")
	case !p.options.Known("server.drain_timeout"):
		return lost("this version of the server has no server.drain_timeout")
	}
	p.out.set([]string{"server", "drain_timeout"}, value, "")
	return taken("server.drain_timeout", "")
}

// inherited is a directive of [global] that holds for pools without their own.
func inherited(name string) func(*pool, line) outcome {
	return func(p *pool, l line) outcome {
		for _, s := range p.source.pools {
			if !slices.ContainsFunc(s.lines, func(o line) bool { return o.name == name }) {
				s.lines = append(s.lines, l)
			}
		}
		return equivalent("", "written to every pool that has none of its own")
	}
}

var debianPath = regexp.MustCompile(`/php/([0-9]+\.[0-9]+)/fpm/`)

// worker makes the worker.yaml of a pool.
func (j *job) worker(s *section) part {
	name := strings.ReplaceAll(s.name, "/", "_")
	if name[0] == '.' {
		name = "_" + name[1:]
	}
	p := &pool{job: j, name: s.name}
	p.out.set([]string{"type"}, bareText("php"), "")
	root, why := j.root(s)
	p.out.set([]string{"document_root"}, root, "")
	w := part{name: name, title: "Pool " + s.name + ", the worker " + name}
	if why != "" {
		w.notes = append(w.notes, fmt.Sprintf("%s: pool %s: PHP-FPM knows no document root and runs any file; %s. Only scripts below it run", s.place, s.name, why))
	}
	folder := filepath.Join(j.options.Out, "workers", name)
	place, _, _ := strings.Cut(s.place, ":")
	w.notes = append(w.notes, p.interpreter(place)...)
	w.entries = p.convert(s, pools())
	w.notes = append(w.notes, p.check(folder, root, w.entries)...)
	order := []string{"type", "document_root", "middleware", "user", "group", "isolation", "fastcgi", "php"}
	slices.SortStableFunc(p.out.below, func(a, b *node) int { return slices.Index(order, a.key) - slices.Index(order, b.key) })
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The pool %s of %s, by `tqserver import php-fpm`.\n# Without path: nothing but its own address leads here.\n", s.name, place)
	p.out.write(&b, "")
	w.yaml = b.Bytes()
	return w
}

// check takes out the php.ini settings that the plugin does not take: PHP-FPM
// passes over what no extension knows.
func (p *pool) check(folder, root string, entries []entry) (notes []string) {
	if p.options.Check == nil {
		return nil
	}
	for range 2 { // a setting that is bad in itself can hide one that is unknown
		php := p.out.get("php")
		if php == nil {
			return notes
		}
		settings, _ := php.tree().(map[string]any)
		delete(settings, "pool")
		for _, group := range []string{"settings", "admin_settings", "env"} {
			if settings[group] == nil {
				delete(settings, group)
			}
		}
		text, err := json.Marshal(settings)
		if err != nil {
			return append(notes, err.Error())
		}
		notes = nil
		for _, problem := range p.options.Check(folder, root, text) {
			group, key := split(problem.Path)
			if key == "" || p.out.get("php", group, key) == nil {
				notes = append(notes, fmt.Sprintf("pool %s: php.%s: %s", p.name, problem.Path, problem.Message))
				continue
			}
			p.out.remove("php", group, key)
			for i := range entries {
				if entries[i].to == "php."+group+"."+key {
					entries[i].outcome = lost(problem.Message)
				}
			}
		}
	}
	return notes
}

// split splits a path of package settings: settings.a or settings["a.b"].
func split(path string) (group, key string) {
	if group, rest, ok := strings.Cut(path, "["); ok {
		if key, err := strconv.Unquote(strings.TrimSuffix(rest, "]")); err == nil {
			return group, key
		}
	}
	group, key, _ = strings.Cut(path, ".")
	return group, key
}
