package php

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/sdk"
	"github.com/mevdschee/tqserver/sdk/settings"
)

// Settings are those of a worker of type php, below php: in worker.yaml.
type Settings struct {
	Binary        string                     `conf:"binary" doc:"The php-cgi to run: a path, relative to the worker's folder, or a name on PATH. Empty means the newest php-cgi on PATH." source:"none: the newest php-cgi on PATH"`
	ConfigFile    string                     `conf:"config_file" doc:"The php.ini to read, relative to the worker's folder. Empty means the one that php-cgi reads by itself." source:"none: the php.ini that php-cgi reads by itself"`
	Settings      map[string]string          `conf:"settings" doc:"php.ini settings that a script may change (php_value of PHP-FPM). They stand in the command line, which other users of the machine can read." source:"none: what php.ini says"`
	AdminSettings map[string]string          `conf:"admin_settings" doc:"php.ini settings that neither a script nor .user.ini may change (php_admin_value of PHP-FPM). Relative paths in open_basedir start at the worker's folder." source:"none: what php.ini says"`
	Env           map[string]settings.Secret `conf:"env" doc:"Environment of the PHP processes; there is nothing else in it but what php-cgi itself needs. A value may be file:/run/secrets/x or env:NAME, which stand for what the file or the server's own environment holds." source:"none: empty, as PHP-FPM's clear_env"`
	Emergency     EmergencySettings          `conf:"emergency" doc:"When all processes are replaced because they crash."`
}

// EmergencySettings say when all processes are replaced because they crash.
type EmergencySettings struct {
	Crashes int           `conf:"crashes" doc:"After how many crashes of PHP processes within that time all of them are replaced, with an empty opcache; 0 means never." unit:"crashes" source:"emergency_restart_threshold of PHP-FPM"`
	Within  time.Duration `conf:"within" doc:"The time in which so many crashes are an emergency." source:"our choice: with PHP-FPM's emergency_restart_interval of 0 there would be none"`
}

// Validate checks the bounds.
func (e *EmergencySettings) Validate() []settings.Problem {
	var bad []settings.Problem
	if e.Crashes < 0 || e.Crashes > 10_000 {
		bad = append(bad, settings.Problem{Path: "crashes", Message: "must be from 0 to 10000"})
	}
	if e.Within <= 0 {
		bad = append(bad, settings.Problem{Path: "within", Message: "must be above 0"})
	}
	return bad
}

func defaultSettings() Settings { return Settings{Emergency: EmergencySettings{Within: time.Minute}} }

// prepared is what Check makes of a worker and Run works with.
type prepared struct {
	binary    interpreter
	baseIni   string   // the php.ini to copy, or empty
	roots     []string // the first part of the document root's path, as configured and real
	settings  map[string]string
	admin     map[string]string
	env       []string
	emergency emergency
}

// prepare checks everything; what it returns is good only without problems.
func prepare(ctx context.Context, w sdk.Worker, a asker) (prepared, []sdk.Problem) {
	s := defaultSettings()
	var problems []sdk.Problem
	for _, p := range settings.DecodeJSON(w.Settings, &s) {
		problems = append(problems, sdk.Problem(p))
	}
	add := func(path, format string, args ...any) {
		problems = append(problems, sdk.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	p := prepared{
		settings: s.Settings, admin: maps.Clone(s.AdminSettings), baseIni: s.ConfigFile,
		emergency: emergency{s.Emergency.Crashes, s.Emergency.Within},
	}
	p.roots = checkRoot(w.DocumentRoot, add)
	if p.baseIni != "" {
		if !filepath.IsAbs(p.baseIni) {
			p.baseIni = filepath.Join(w.Folder, p.baseIni)
		}
		if err := readable(p.baseIni); err != nil {
			add("config_file", "%v", err)
		}
	}
	checkNames("settings", p.settings, add)
	checkNames("admin_settings", p.admin, add)
	if v, ok := p.admin["open_basedir"]; ok {
		p.admin["open_basedir"] = absolutePaths(v, w.Folder)
	}
	p.env = checkEnv(s.Env, add)
	var err error
	if p.binary, err = a.findBinary(ctx, s.Binary, w.Folder); err != nil {
		add("binary", "%v", err)
		return p, problems
	}
	bad := func(path string) bool {
		return slices.ContainsFunc(problems, func(p sdk.Problem) bool { return p.Path == path })
	}
	if !bad("config_file") {
		checkKnown(ctx, a, &p, bad, add)
	}
	return p, problems
}

func checkRoot(root string, add func(path, format string, args ...any)) (roots []string) {
	// The paths are the host's settings: there is no key of ours to name.
	real, err := filepath.EvalSymlinks(root)
	switch {
	case root == "":
		add("", "a PHP worker needs a document_root")
		return nil
	case err != nil:
		add("", "document root: %v", err)
		return nil
	case !quotable(root) || !quotable(real) || strings.HasSuffix(root, `\`) || strings.HasSuffix(real, `\`):
		add("", "document root %q: php.ini cannot name a path with a newline or with a backslash at its end", root)
	}
	if st, err := os.Stat(real); err == nil && !st.IsDir() {
		add("", "document root %s is not a folder", root)
	}
	return slices.Compact([]string{firstPart(root), firstPart(real)})
}

// firstPart is /srv of /srv/app/current/public. The document root may be a link
// that a deployment switches; php.ini's sections must hold for where it leads
// then, too. Nothing but this worker's scripts is run below them.
func firstPart(path string) string {
	if i := strings.IndexByte(path[min(1, len(path)):], '/'); i >= 0 {
		return path[:i+1]
	}
	return path
}

func checkNames(section string, m map[string]string, add func(path, format string, args ...any)) {
	name := regexp.MustCompile(`^[A-Za-z0-9_.]+$`)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		path := settings.Join(section, k)
		switch {
		case !name.MatchString(k):
			add(path, "not a name of a php.ini setting: only letters, digits, _ and . occur in one")
		case managed(k):
			add(path, "the server needs this setting as it is: it decides which script runs")
		case !quotable(m[k]):
			add(path, "a value cannot have a newline or a NUL byte")
		case k == "error_reporting" && !number.MatchString(m[k]) && !isLevels(m[k]):
			add(path, "%q is neither a number nor levels of errors, as E_ALL & ~E_DEPRECATED is; PHP would report other errors, or none", m[k])
		}
	}
}

func checkEnv(m map[string]settings.Secret, add func(path, format string, args ...any)) (env []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch {
		case !settings.EnvName(k):
			add(settings.Join("env", k), "not a name of an environment variable: letters, digits and _, not beginning with a digit")
		case strings.HasPrefix(k, "PHP_FCGI_") || k == "FCGI_WEB_SERVER_ADDRS":
			add(settings.Join("env", k), "the server sets this itself: see pool")
		case strings.Contains(m[k].Reveal(), "\x00"):
			add(settings.Join("env", k), "a value cannot have a NUL byte")
		}
		env = append(env, k+"="+m[k].Reveal())
	}
	return env
}

// checkKnown asks the binary which settings it knows, extensions that the
// settings load included: a misspelt admin setting would protect nothing.
// Settings that are bad already are left out.
func checkKnown(ctx context.Context, a asker, p *prepared, bad func(path string) bool, add func(path, format string, args ...any)) {
	var args []string
	sections := map[string]map[string]string{"settings": p.settings, "admin_settings": p.admin}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		for _, k := range []string{"zend_extension", "extension"} {
			if v, ok := sections[section][k]; ok && quotable(v) {
				args = append(args, "-d", k+"="+quote(v))
			}
		}
	}
	known, err := a.askSettings(ctx, p.binary.path, p.baseIni, args)
	if err != nil {
		add("", "%v", err)
		return
	}
	if p.baseIni == "" {
		p.baseIni = known.iniFile
		if err := readable(p.baseIni); p.baseIni != "" && err != nil {
			add("config_file", "%v", err)
		}
	}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		for _, k := range slices.Sorted(maps.Keys(sections[section])) {
			path := settings.Join(section, k)
			if !known.names[k] && !bad(path) && k != "extension" && k != "zend_extension" {
				add(path, "%s %s knows no such setting: misspelt, or of an extension that is not loaded", p.binary.path, p.binary.version)
			}
		}
	}
}

// absolutePaths makes the relative paths of a list like open_basedir's start
// at folder. A trailing slash stays: it means "this folder only" to PHP.
func absolutePaths(list, folder string) string {
	parts := strings.Split(list, ":")
	for i, part := range parts {
		if part != "" && !filepath.IsAbs(part) {
			parts[i] = filepath.Join(folder, part)
			if strings.HasSuffix(part, "/") {
				parts[i] += "/"
			}
		}
	}
	return strings.Join(parts, ":")
}

func readable(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	return err
}
