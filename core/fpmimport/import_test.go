package fpmimport

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/good/expected")

// all of PHP-FPM's directives (fpm_conf.c of PHP 8.4, ini_fpm_global_options and
// ini_fpm_pool_options); include is a statement.
const (
	allGlobals = `pid error_log syslog.ident syslog.facility log_buffering log_level log_limit emergency_restart_threshold
		emergency_restart_interval process_control_timeout process.max process.priority daemonize rlimit_files rlimit_core
		events.mechanism systemd_interval`
	allPools = `prefix user group listen listen.backlog listen.acl_users listen.acl_groups listen.owner listen.group listen.mode
		listen.allowed_clients listen.setfib process.priority process.dumpable pm pm.max_children pm.start_servers
		pm.min_spare_servers pm.max_spare_servers pm.max_spawn_rate pm.process_idle_timeout pm.max_requests pm.status_path
		pm.status_listen ping.path ping.response access.log access.format access.suppress_path slowlog request_slowlog_timeout
		request_slowlog_trace_depth request_terminate_timeout request_terminate_timeout_track_finished rlimit_files rlimit_core
		chroot chdir catch_workers_output decorate_workers_output clear_env security.limit_extensions apparmor_hat env
		php_value php_flag php_admin_value php_admin_flag`
)

func options(t *testing.T, paths ...string) Options {
	t.Helper()
	return Options{
		Paths: paths, Out: "/out", Prefix: "/usr", RuntimeFolder: "/run/tqserver", Roots: map[string]string{"": "/srv/www"},
		Known: func(string) bool { return true },
		Env: func(name string) (string, bool) {
			value, ok := map[string]string{"HOSTNAME": "h", "HOME": "/root"}[name]
			return value, ok
		},
		Check: func(_, _ string, settings json.RawMessage) []Problem {
			var s struct {
				Admin map[string]string `json:"admin_settings"`
			}
			if err := json.Unmarshal(settings, &s); err != nil {
				t.Error(err)
			}
			if _, ok := s.Admin["wrong"]; ok {
				return []Problem{{"admin_settings.wrong", "knows no such setting"}}
			}
			return nil
		},
	}
}

func TestGoodFiles(t *testing.T) {
	r, err := Import(options(t, "testdata/good/php-fpm.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"plain", "rich", "acl", "lists"}, r.Pools); d != "" {
		t.Error(d)
	}
	for name, got := range r.Files {
		golden := filepath.Join("testdata/good/expected", name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s (-update writes it): %s", name, d)
		}
	}
}

// The report tells of every directive there is, of every pool.
func TestEveryDirectiveIsTold(t *testing.T) {
	for table, list := range map[string][]directive{allGlobals: globals(), allPools: pools()} {
		for name := range strings.FieldsSeq(table) {
			i := slices.IndexFunc(list, func(d directive) bool { return d.name == name })
			if i < 0 {
				t.Errorf("nothing is said of %s", name)
				continue
			}
			if list[i].convert == nil || list[i].unset == "" {
				t.Errorf("%s: half of it is missing", name)
			}
		}
	}
	r, err := Import(options(t, "testdata/good"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(r.Files[r.Report])
	for i, part := range strings.Split(text, "\n## ")[2:] { // after what is to be looked at
		table := allPools
		if i == 0 {
			table = allGlobals
		}
		for name := range strings.FieldsSeq(table) {
			if !strings.Contains(part, "| `"+name+"` |") && !strings.Contains(part, "| `"+name+"[") {
				t.Errorf("part %d does not tell of %s", i, name)
			}
		}
	}
}

// A folder of pools brings the global directives of the file above it.
func TestFolderOfPools(t *testing.T) {
	whole, err := Import(options(t, "testdata/good/php-fpm.conf"))
	if err != nil {
		t.Fatal(err)
	}
	folder, err := Import(options(t, "testdata/good/pool.d"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range whole.Files {
		if d := cmp.Diff(string(want), string(folder.Files[name])); d != "" && name != whole.Report {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.conf")
	if err != nil || len(files) < 9 {
		t.Fatal("too few files", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(strings.TrimPrefix(string(text), "; error: "), "\n")
		if _, err := Import(options(t, file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
	for _, path := range []string{"testdata/none", "testdata"} {
		if _, err := Import(options(t, path)); err == nil {
			t.Errorf("%s: imported", path)
		}
	}
}

// Settings that this binary does not have are not written, but told.
func TestUnknownSettingsAreNotWritten(t *testing.T) {
	o := options(t, "testdata/good/pool.d/b.conf")
	o.Known = func(key string) bool { return !strings.Contains(key, "pool.") && !strings.Contains(key, "isolation") }
	r, err := Import(o)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range r.Files {
		if name != r.Report && (strings.Contains(string(text), "max_workers") || strings.Contains(string(text), "nice")) {
			t.Errorf("%s: %s", name, text)
		}
	}
	if report := string(r.Files[r.Report]); !strings.Contains(report, "this version of the server has no php.pool.max_workers") {
		t.Error(report)
	}
}

func TestValues(t *testing.T) {
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"A": "a", "EMPTY": ""}[name]
		return value, ok
	}
	for text, want := range map[string]string{
		"plain": "plain", " spaces around \t": "spaces around", "with ; comment": "with", `"quoted ; text"`: "quoted ; text",
		`"a\"b\\c\n"`: `a"b\c\n`, `'raw ${A} \'`: `raw ${A} \`, `"a" 'b' c`: "abc", "On": "1", "off": "", `"off"`: "off", "none": "",
		"${A}/x": "a/x", "${B:-d}": "d", "${EMPTY:-d}": "d", `"${A}"`: "a", "$A": "$A", "": "", ";": "", "64M": "64M",
		"E_ALL & ~E_NOTICE ; but these": "E_ALL & ~E_NOTICE",
	} {
		if got, err := parseValue(text, env); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`"open`, `'open`, "${B}", "x ${B} y"} {
		if got, err := parseValue(text, env); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestDocumentRootIsGuessed(t *testing.T) {
	dir := t.TempDir()
	pool := func(lines string) *section {
		s := &source{env: os.LookupEnv}
		file := filepath.Join(t.TempDir(), "p.conf")
		if err := os.WriteFile(file, []byte("[p]\n"+lines), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.read(file, &s.global, 0, false)
	}
	for _, c := range []struct {
		roots       map[string]string
		lines, want string
		guessed     bool
	}{
		{map[string]string{"p": "/p", "": "/all"}, "chdir = " + dir, "/p", false},
		{map[string]string{"": "/all"}, "", "/all", false},
		{nil, "chdir = " + dir, dir, true},
		{nil, "chdir = /\nphp_admin_value[open_basedir] = /usr/share/php:/var/lib/php/sessions:" + dir + "/:/none", dir, true},
		{nil, "php_value[doc_root] = " + dir, dir, true},
		{nil, "chdir = /nonexistent", "/var/www", true},
	} {
		if c.lines == "" {
			c.lines = "pm = static"
		}
		if strings.Contains(dir, "/tmp/") && strings.Contains(c.lines, "open_basedir") {
			continue // where temporary files are no site is looked for
		}
		j := &job{options: Options{Roots: c.roots}}
		root, why := j.root(pool(c.lines))
		if root != c.want || (why != "") != c.guessed {
			t.Errorf("%q: %s, %s", c.lines, root, why)
		}
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	r := &Result{Files: map[string][]byte{"a/b": []byte("x"), "c": []byte("y")}}
	if err := os.WriteFile(filepath.Join(dir, "c"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(dir); err == nil || !strings.Contains(err.Error(), "c is there already") {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err == nil {
		t.Error("half of it was written")
	}
	if err := os.Remove(filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(dir); err != nil {
		t.Error(err)
	}
}
