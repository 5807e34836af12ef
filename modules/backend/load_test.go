package backend

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/core/conf"
	"github.com/mevdschee/tqserver/core/conf/conftest"
	"github.com/mevdschee/tqserver/sdk/process"
	"github.com/mevdschee/tqserver/sdk/settings"
)

func TestWorkerSettingsAreDocumented(t *testing.T) {
	complete := defaultWorker() // the defaults alone are no worker
	complete.Path, complete.Type = "/", "php"
	for _, defaults := range []any{complete, defaultPool()} {
		for _, p := range settings.CheckStruct(defaults) {
			t.Errorf("%T: %s: %s", defaults, p.Path, p.Message)
		}
		// The sample's worker.yaml is the reference: it has every setting.
		conftest.Documented(t, "../../workers/blog/config/worker.yaml", defaults)
	}
}

func TestGoodWorkersAreLoaded(t *testing.T) {
	list, err := loadFolder("testdata/workers/good", nil, allKinds("/bin/tqserver", nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 {
		t.Fatalf("loaded %d workers", len(list))
	}
	php := list[0]
	folder, err := filepath.Abs("testdata/workers/good/php")
	if err != nil {
		t.Fatal(err)
	}
	if php.spec.Worker != "php" || php.spec.DocumentRoot != filepath.Join(folder, "public") || php.prefix() != "/blog" ||
		php.spec.MaxWorkers != 4 || php.spec.User != "www-data" {
		t.Errorf("got %+v", php.spec)
	}
	if diff := cmp.Diff([]string{"/bin/tqserver", "plugin", "php"}, php.spec.Command); diff != "" {
		t.Error(diff)
	}
	want := defaultPool()
	want.MaxWorkers, want.Queue, want.RequestTimeout = 4, queueSettings{Length: 0, Wait: time.Second}, 5*time.Minute
	if diff := cmp.Diff(want, php.limits); diff != "" {
		t.Error(diff)
	}
	limit := func(n uint64) *uint64 { return &n }
	nice := 5
	if diff := cmp.Diff(process.Limits{Files: limit(1024), Core: limit(0), AddressSpace: limit(1 << 30), Nice: &nice}, php.spec.Limits); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(api.CgroupLimits{Memory: 512 << 20, CPU: 1500, Processes: 64}, php.spec.Cgroup); diff != "" {
		t.Error(diff)
	}
	if small := list[1].spec; small.Limits != (process.Limits{}) || small.Cgroup.Any() {
		t.Errorf("limits out of nothing: %+v, %+v", small.Limits, small.Cgroup)
	}
	var section map[string]any
	if err := json.Unmarshal(php.spec.Settings, &section); err != nil {
		t.Fatal(err)
	}
	if _, there := section["pool"]; there || len(section) != 3 {
		t.Errorf("the plugin is given %s", php.spec.Settings)
	}
	if small := list[1]; small.prefix() != "" || string(small.spec.Settings) != "{}" {
		t.Errorf("got %q, %s", small.prefix(), small.spec.Settings)
	}
}

// loadOne reads one worker's folder.
func loadOne(folder string, all kinds) (definition, []conf.Problem) {
	document, err := conf.LoadDocument(workerYAML(folder))
	d := load(filepath.Base(folder), folder, document, err, all)
	return d, d.problems
}

// A worker may be defined elsewhere than in its folder; in both is a mistake.
func TestDefinitionsElsewhere(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"b", "twice"} {
		if err := os.MkdirAll(filepath.Join(folder, name, "config"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := []byte("path: /\ntype: php\ndocument_root: .\n")
	if err := os.WriteFile(workerYAML(filepath.Join(folder, "twice")), text, 0o600); err != nil {
		t.Fatal(err)
	}
	defined := api.Definitions{
		{Worker: "b", Name: "etcd://h/tq/workers/b/worker.yaml", Text: text},
		{Worker: "nowhere", Name: "etcd://h/tq/workers/nowhere/worker.yaml", Text: text},
		{Worker: "twice", Name: "etcd://h/tq/workers/twice/worker.yaml", Text: append(text, "color: red\n"...)},
	}
	list, err := loadFolder(folder, defined, allKinds("/bin/tqserver", nil))
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	for i, want := range []string{
		"",
		"etcd://h/tq/workers/nowhere/worker.yaml: there is no folder " + filepath.Join(folder, "nowhere"),
		`etcd://h/tq/workers/twice/worker.yaml:4:1: color: unknown key "color"`,
	} {
		err := conf.Err(list[i].problems)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", list[i].name, err, want)
		}
	}
	if err := conf.Err(list[2].problems); !strings.Contains(err.Error(), "worker twice is defined by "+workerYAML(filepath.Join(folder, "twice"))+", too") {
		t.Error(err)
	}
	if spec := list[0].spec; spec.Worker != "b" || spec.Folder != filepath.Join(folder, "b") {
		t.Errorf("%+v", spec)
	}
	if _, err := loadFolder(filepath.Join(folder, "none"), defined, allKinds("/bin/tqserver", nil)); err != nil {
		t.Error(err) // each of them says that its own folder is not there
	}
}

func TestBadWorkersAreTold(t *testing.T) {
	entries, err := os.ReadDir("testdata/workers/bad")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		folder := filepath.Join("testdata/workers/bad", e.Name())
		_, problems := loadOne(folder, allKinds("/bin/tqserver", nil))
		conftest.Wants(t, filepath.Join(folder, "config", "worker.yaml"), conf.Err(problems))
	}
	// All of them in one go.
	err = New(Config{Workers: "testdata/workers/bad"}, Deps{Log: slog.New(slog.DiscardHandler)}).Check(t.Context(), false)
	for _, e := range entries {
		if err == nil || !strings.Contains(err.Error(), "bad/"+e.Name()+"/") {
			t.Errorf("nothing about %s", e.Name())
		}
	}
}

func TestFolderWithoutWorkerYamlIsTold(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"empty", ".git"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "README"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := New(Config{Workers: folder}, Deps{Log: slog.New(slog.DiscardHandler)}).Check(t.Context(), false)
	if problems := conf.ProblemsOf(err); len(problems) != 1 || !strings.Contains(err.Error(), "empty/config/worker.yaml") {
		t.Errorf("got %v", err)
	}
}

// A plugin of the configuration is a type; its name works as any other's.
func TestPluginTypesAreTypes(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "shop")
	if err := os.MkdirAll(filepath.Join(folder, "config"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "config", "worker.yaml")
	if err := os.WriteFile(file, []byte("path: /shop\ntype: legacy\nlegacy: {color: red, pool: {max_workers: 7}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	types := api.PluginTypes{{Name: "legacy", Command: []string{"/usr/bin/legacy", "-v"}, Env: []string{"A=b"}, SHA256: "abc"}}
	d, problems := loadOne(folder, allKinds("/bin/tqserver", types))
	want := api.PluginSpec{
		Type: "legacy", Command: []string{"/usr/bin/legacy", "-v"}, Env: []string{"A=b"}, SHA256: "abc",
		Worker: "shop", Folder: folder, MaxWorkers: 7, Settings: json.RawMessage(`{"color":"red"}`),
	}
	if diff := cmp.Diff(want, d.spec); diff != "" || len(problems) > 0 {
		t.Errorf("%v %s", problems, diff)
	}
	if _, problems := loadOne(folder, allKinds("/bin/tqserver", nil)); !strings.Contains(conf.Err(problems).Error(), "there are: command, go, php") {
		t.Errorf("%v", problems)
	}
}
