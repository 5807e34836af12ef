package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/mevdschee/tqserver/"

// A rule says what files of a place may import of this project and which of
// the given libraries. The first rule that matches a file holds for it.
type rule struct {
	files  string // path.Match pattern; a trailing /... matches everything below
	may    []string
	libs   []string
	reason string
}

// Libraries that only some places may know.
const (
	fxLib    = "go.uber.org/fx"
	koanf    = "github.com/knadh/koanf"
	goplugin = "github.com/hashicorp/go-plugin"
	hclog    = "github.com/hashicorp/go-hclog"
	grpc     = "google.golang.org/grpc"
	protobuf = "google.golang.org/protobuf"
	cobra    = "github.com/spf13/cobra"
	yaml     = "go.yaml.in/yaml"
	promlib  = "github.com/prometheus"
	etcdLib  = "go.etcd.io"
)

var fenced = []string{fxLib, koanf, goplugin, hclog, grpc, protobuf, cobra, yaml, promlib, etcdLib}

var rules = []rule{
	{"cmd/tqserver/e2e/...", nil, nil, "end to end: only what a user sees"},
	{"cmd/tqserver/*_test.go", []string{"..."}, []string{fxLib, yaml}, "tests of the whole"},
	{"cmd/tqserver/main.go", []string{"core/app", "modules/standard", "plugins/..."}, nil, "a list and one call"},
	{"config/examples/module/main.go", []string{"core/app", "core/api", "core/conf", "core/module", "modules/standard", "plugins/php", "sdk/settings"}, []string{fxLib}, "a server as somebody else builds it"},
	{"cmd/tqbench/peer/rpc/*", nil, []string{goplugin, hclog, grpc, protobuf}, "a rival: requests by go-plugin's gRPC"},
	{"cmd/tqbench/peer/*", []string{"cmd/tqbench/peer/rpc", "sdk"}, nil, "what TQServer is compared with in Go, and its worker"},
	{"cmd/tqbench/usage/*", nil, nil, "reads /proc"},
	{"cmd/tqbench/load/*", nil, nil, "sends requests"},
	{"cmd/tqbench/result/*", nil, nil, "numbers"},
	{"cmd/tqbench/report/*", []string{"cmd/tqbench/result"}, nil, "shows numbers"},
	{"cmd/tqbench/contestant/*", []string{"cmd/tqbench/usage"}, nil, "starts servers as users do, from outside"},
	{"cmd/tqbench/scenario/*", []string{"cmd/tqbench/contestant", "cmd/tqbench/load", "cmd/tqbench/result", "cmd/tqbench/usage"}, nil, "asks the contestants"},
	{"cmd/tqbench/*", []string{"cmd/tqbench/contestant", "cmd/tqbench/report", "cmd/tqbench/result", "cmd/tqbench/scenario"}, []string{cobra}, "the command: nothing of the server"},
	{"core/app/*", []string{"core/...", "sdk/..."}, []string{fxLib, cobra}, "arrows never turn back"},
	{"core/module/*", []string{"core/conf", "core/api", "sdk/..."}, []string{fxLib}, "what a module is"},
	{"core/conf/*", []string{"sdk/settings"}, []string{koanf, yaml}, "the only importer of koanf"},
	{"core/conf/conftest/*", []string{"core/conf", "sdk/settings"}, nil, "for tests of modules"},
	{"core/pluginhost/*", []string{"core/api", "sdk/...", "plugins/faulty"}, []string{goplugin, hclog, grpc}, "the only host side of go-plugin"},
	{"core/etcdconf/*", []string{"core/quiet", "sdk/settings"}, []string{etcdLib, grpc}, "the only place that knows etcd"},
	{"core/telemetry/*", []string{"core/conf", "sdk/..."}, nil, "log"},
	{"core/metrics/*", []string{"core/api"}, []string{promlib}, "metrics of plugins beside the server's"},
	{"core/front/*", []string{"core/api", "core/listen", "sdk/..."}, nil, "what fronts share; its test listens for real"},
	{"core/gobuild/*", []string{"core/quiet", "sdk/process"}, nil, "builds, and knows no server"},
	{"core/quiet/*", nil, nil, "standard library only"},
	{"core/...", []string{"core/api", "sdk/..."}, nil, "core knows no module"},
	{"modules/standard/*", []string{"core/module", "modules/..."}, nil, "the list of our modules"},
	{"modules/admin/module.go", []string{"core/module", "core/conf", "core/api", "core/front", "sdk/..."}, []string{fxLib}, "only module.go knows fx"},
	{"modules/admin/*", []string{"core/conf", "core/conf/conftest", "core/api", "core/front", "core/fpmstatus", "core/metrics", "sdk/..."}, []string{promlib}, "the only module that knows Prometheus"},
	{"modules/accesslog/log.go", []string{"core/api", "core/telemetry"}, nil, "writes in the background as the server's log does"},
	{"modules/*/module.go", []string{"core/module", "core/conf", "core/api", "core/docroot", "core/fpmstatus", "core/front", "core/gobuild", "sdk/..."}, []string{fxLib}, "only module.go knows fx"},
	{"modules/*/*_test.go", []string{"core/...", "sdk/...", "modules/static"}, []string{fxLib}, "tests of one module"},
	{"modules/*/*", []string{"core/module", "core/conf", "core/api", "core/docroot", "core/fpmstatus", "core/front", "core/gobuild", "sdk/..."}, nil, "modules do not import each other"},
	{"plugins/...", []string{"sdk/...", "plugins/internal/life"}, nil, "a plugin imports the sdk only, and what ours share"},
	{"workers/...", []string{"sdk/..."}, []string{promlib}, "a worker imports the sdk only"},
	{"sdk/control/*", []string{"sdk/..."}, []string{goplugin, hclog, grpc, protobuf}, "the wire"},
	{"sdk/sdktest/*", []string{"sdk/...", "core/pluginhost", "core/api", "plugins/faulty"}, []string{grpc}, "runs plugins through the real host"},
	{"sdk/fastcgi/*", []string{"sdk/cgi", "sdk/sockio"}, nil, "standard library only"},
	{"sdk/sockio/*", nil, nil, "standard library only"},
	{"sdk/cgi/*", nil, nil, "standard library only"},
	{"sdk/*", []string{"sdk/..."}, []string{goplugin, hclog, grpc, promlib}, "the sdk knows no server"},
	{"sdk/...", []string{"sdk/..."}, []string{goplugin, hclog, grpc}, "the sdk knows no server"},
}

func TestImportsPointOneWay(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, finding := range findings(t, filepath.ToSlash(rel), src) {
			t.Error(finding)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A check must have been seen to fail.
func TestImportCheckFindsBadImports(t *testing.T) {
	for _, c := range []struct{ file, imports string }{
		{"modules/http/server.go", fxLib},
		{"modules/http/server.go", modulePath + "modules/router"},
		{"modules/http/server.go", modulePath + "core/app"},
		{"core/conf/load.go", modulePath + "modules/http"},
		{"core/listen/set.go", koanf + "/v2"},
		{"modules/http/server.go", promlib + "/client_golang/prometheus"},
		{"modules/admin/guard.go", fxLib},
		{"core/fpmstatus/write.go", promlib + "/common/model"},
		{"core/api/x.go", goplugin},
		{"core/app/x.go", koanf + "/v2"},
		{"core/app/x.go", etcdLib + "/etcd/client/v3"},
		{"sdk/contract.go", modulePath + "core/api"},
		{"sdk/fastcgi/conn.go", modulePath + "sdk"},
		{"plugins/php/run.go", modulePath + "core/conf"},
		{"workers/index/main.go", modulePath + "core/app"},
		{"cmd/tqserver/main.go", modulePath + "core/pluginhost"},
		{"cmd/tqbench/run.go", modulePath + "core/app"},
		{"cmd/tqbench/contestant/tqserver.go", modulePath + "modules/standard"},
		{"cmd/tqbench/result/stats.go", modulePath + "cmd/tqbench/report"},
		{"elsewhere/x.go", "fmt"},
	} {
		src := "package p\nimport _ " + strconv.Quote(c.imports) + "\n"
		if len(findings(t, c.file, []byte(src))) == 0 {
			t.Errorf("%s may import %s", c.file, c.imports)
		}
	}
}

func findings(t *testing.T, file string, src []byte) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
	if err != nil {
		return []string{err.Error()}
	}
	i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.files, file) })
	if i < 0 {
		return []string{file + ": no rule for this file; add one to arch_test.go"}
	}
	r := rules[i]
	var found []string
	for _, spec := range parsed.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return []string{err.Error()}
		}
		own, isOwn := strings.CutPrefix(name, modulePath)
		if isOwn && own != path.Dir(file) && !slices.ContainsFunc(r.may, func(p string) bool { return matches(p, own) }) {
			found = append(found, file+" must not import "+own+": "+r.reason)
		}
		isLib := func(lib string) bool { return name == lib || strings.HasPrefix(name, lib+"/") }
		if slices.ContainsFunc(fenced, isLib) && !slices.ContainsFunc(r.libs, isLib) {
			found = append(found, file+" must not import "+name+": "+r.reason)
		}
	}
	return found
}

func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(name+"/", prefix)
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
