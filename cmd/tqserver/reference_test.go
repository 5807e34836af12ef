package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/mevdschee/tqserver/core/app"
)

const root = "../.."

// What is generated is what the settings say now; and nothing is left of
// sections that are gone.
func TestReferenceIsFresh(t *testing.T) {
	files, err := app.Reference(build())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the settings say (%v); run: make generate", name, err)
		}
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "reference", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if _, there := files[strings.TrimPrefix(page, root+"/")]; !there && bytes.HasPrefix(text, []byte("<!-- Generated")) {
			t.Errorf("%s: its section is gone; remove the page", page)
		}
	}
}

// The schemas take every good file and refuse every bad one. What only
// `tqserver check` can know, such as whether a folder exists, is marked in the
// file: "# schema: cannot tell".
func TestSchemasJudgeTheTestFiles(t *testing.T) {
	server, worker := compile(t, "config/schema.json"), compile(t, "config/worker.schema.json")
	good, bad := 0, 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+"/"))
		if d.IsDir() && (strings.HasPrefix(name, ".git") || name == "core/conf") {
			return filepath.SkipDir // its test files are of sections made up for the test
		}
		schema := server
		switch {
		case d.IsDir() || filepath.Ext(name) != ".yaml":
			return nil
		case d.Name() == "worker.yaml":
			schema = worker
		case name != "config/tqserver.yaml" && !strings.Contains(name, "/testdata/"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		wrong := judge(schema, text)
		switch {
		case !strings.Contains(name, "/bad/"):
			good++
			if wrong != nil {
				t.Errorf("%s: the schema refuses it: %v", name, wrong)
			}
		case !bytes.Contains(text, []byte("# schema: cannot tell")):
			bad++
			if wrong == nil {
				t.Errorf("%s: the schema takes it", name)
			}
		default:
			if wrong != nil {
				t.Errorf("%s: the schema can tell, remove the mark: %v", name, wrong)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if good < 9 || bad < 6 {
		t.Errorf("only %d good and %d bad files were found", good, bad)
	}
}

// A file whose editor is to know its schema says so in its first line.
func TestShippedFilesNameTheirSchema(t *testing.T) {
	for _, name := range []string{"config/tqserver.yaml", "workers/blog/config/worker.yaml", "workers/index/config/worker.yaml"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		schema, ok := strings.CutPrefix(strings.SplitN(string(text), "\n", 2)[0], "# yaml-language-server: $schema=")
		if !ok {
			t.Errorf("%s: begins with no # yaml-language-server: $schema=…", name)
			continue
		}
		if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), schema)); err != nil {
			t.Error(err)
		}
	}
}

func compile(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// judge returns what the schema has against a YAML file.
func judge(schema *jsonschema.Schema, text []byte) error {
	var tree any
	if err := yamlv3.Unmarshal(text, &tree); err != nil {
		return err
	}
	if tree == nil {
		tree = map[string]any{}
	}
	asJSON, err := json.Marshal(tree)
	if err != nil {
		return errors.Join(errors.New("not JSON"), err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return err
	}
	return schema.Validate(doc)
}

// A type that a plugin of the configuration runs has a section of its own, with
// the server's part in it; our types stay strict.
func TestWorkerSchemaKnowsPluginsOfOthers(t *testing.T) {
	schema := compile(t, "config/worker.schema.json")
	for text, good := range map[string]bool{
		"{path: /, type: legacy, legacy: {color: red, pool: {max_workers: 3}}}": true,
		"{path: /, type: legacy, legacy: }":                                     true,
		"{path: /, type: legacy}":                                               true,
		"{path: /, type: legacy, legacy: {pool: {max_worker: 3}}}":              false,
		"{path: /, type: legacy, legacy: red}":                                  false,
		"{path: /, type: legacy, Legacy: {}}":                                   false,
		"{path: /, type: Legacy}":                                               false,
		"{path: /, type: legacy, hosts: {a: b}}":                                false,
		"{path: /, type: go, go: {binary: x}, legacy: {}}":                      false,
		"{path: /, type: php, document_rot: {}}":                                false,
		"{path: /, type: php, document_root: x}":                                true,
	} {
		if err := judge(schema, []byte(text)); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
