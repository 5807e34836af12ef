package conf

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// Options says what Load reads.
type Options struct {
	// Files are YAML files; each may include more. A later one overrides an
	// earlier one.
	Files []string
	// Folders hold files that are not on disk; the name of one among Files means
	// its main file.
	Folders []Folder
	// Environ is os.Environ(); of it only TQSERVER_… is read.
	Environ []string
	// Sets are the values of --set: "http.idle_timeout=10s".
	Sets []string
	// Sections, when given, are checked at once, as Tree.Check does.
	Sections []Spec
}

// Tree is the merged configuration. It does not change.
type Tree struct {
	values   map[string]any // section → settings; always a map, empty for "static:"
	places   *place
	problems []Problem // found while reading; Check reports them
	files    []string  // see Files
	lenient  bool
}

// Load reads and merges the layers: files < environment < --set. The error is
// an *Errors: a layer that is unreadable, and with Sections all that Check finds.
// Without, repeated keys and the like are kept, and reported by Check and by the
// Decode of their section.
func Load(o Options) (*Tree, error) {
	read := readFiles(o.Files, o.Folders)
	unreadable := read.problems
	layers := append(append(read.layers, environment(o.Environ)...), sets(o.Sets)...)

	t := &Tree{places: newPlace(Origin{Name: strings.Join(o.Files, ", ")}), problems: slices.Concat(unreadable, read.idle), files: read.watched}
	merged := koanf.New("::")
	for _, layer := range layers {
		t.problems = append(t.problems, layer.problems...)
		t.problems = append(t.problems, sectionsOnly(layer)...)
		t.places.merge(layer.places)
		// No delimiter: a key with "::" in it stays one key.
		if err := merged.Load(confmap.Provider(layer.tree, ""), nil); err != nil {
			return nil, fmt.Errorf("merge configuration: %w", err)
		}
	}
	t.values = merged.Raw()
	if len(unreadable) > 0 {
		if len(o.Sections) == 0 {
			return nil, Err(t.problems)
		}
		return nil, t.Check(o.Sections...) // what could be read is checked, too
	}
	if len(o.Sections) > 0 {
		return t, t.Check(o.Sections...)
	}
	return t, nil
}

// sectionsOnly makes every top-level value of a layer a map: "static:" alone is
// a section without settings, anything else is a problem.
func sectionsOnly(layer *document) []Problem {
	var problems []Problem
	for key, value := range layer.tree {
		if _, ok := value.(map[string]any); ok {
			continue
		}
		section := map[string]any{}
		entries, list := value.([]any)
		if list {
			section[listKey] = entries // for a List; for any other section the problem stays
		}
		layer.tree[key] = section
		at := layer.places.below[key]
		if at.leaf = list; value != nil {
			problems = append(problems, Problem{at.origin, settings.Join("", key), notGroup})
		}
	}
	return problems
}

const notGroup = "must be a group of settings, one key: value per line below it"

// Files returns the files the configuration was read from, and the patterns of
// those that may come to belong to it, as filepath.Glob takes them.
func (t *Tree) Files() []string { return slices.Clone(t.files) }

// Where returns the place of the setting, or of the nearest one above it that was
// written, and its path: "tqserver.yaml:3:5: http.listen[0]".
func (t *Tree) Where(path string) string { return where(t.places, path) }

func where(places *place, path string) string {
	return strings.TrimSuffix(Problem{Origin: places.find(path), Path: path}.String(), ": ")
}

// Lenient returns the tree for whoever wants to find more that is wrong than what
// Check has told: of its sections, what has a problem is the default.
func (t *Tree) Lenient() *Tree {
	lenient := *t
	lenient.lenient = true
	return &lenient
}

// Has says whether the section stands in the configuration, even if empty.
func (t *Tree) Has(section string) bool {
	_, ok := t.values[section]
	return ok
}

// Sections returns the top-level keys in the order of the alphabet.
func (t *Tree) Sections() []string { return slices.Sorted(maps.Keys(t.values)) }

// Check returns every problem as one *Errors, nil when there is none: what was
// found while reading, sections without an owner among specs, and the settings
// of each spec.
func (t *Tree) Check(specs ...Spec) error {
	problems := t.withoutLists(slices.Clone(t.problems), specs)
	var known []string
	for _, spec := range specs {
		known = append(known, spec.Key())
		problems = append(problems, spec.Check(t)...)
	}
	for _, key := range t.Sections() {
		if !slices.Contains(known, key) {
			path := settings.Join("", key)
			problems = slices.DeleteFunc(problems, func(p Problem) bool { return p.Path == path && p.Message == notGroup })
			origin := t.places.find(path)
			problems = append(problems, Problem{origin, path, settings.Unknown("section", key, known) + hint(path, origin)})
		}
	}
	return Err(problems)
}

// hint explains an unknown section that comes from a variable without levels.
func hint(path string, origin Origin) string {
	name, ok := strings.CutPrefix(origin.Name, envPrefix)
	switch {
	case path == includeKey:
		return "; it stands in files only"
	case !ok || strings.Contains(name, "__"):
		return ""
	case strings.HasPrefix(name, "SERVICE_") || name == "PORT" || strings.HasPrefix(name, "PORT_"):
		return "; Kubernetes sets this variable for a Service named tqserver: say enableServiceLinks: false"
	}
	return "; two underscores separate section and key: " + envPrefix + "HTTP__LISTEN"
}

// decode fills into from the section and returns all its problems.
func (t *Tree) decode(section string, into any) []Problem {
	tree, _ := t.values[section].(map[string]any)
	about := t.about(section)
	if slices.ContainsFunc(about, func(p Problem) bool { return p.Path == section && p.Message == notGroup }) {
		tree = maps.Clone(tree)
		delete(tree, listKey) // told already
	}
	return append(located(t.places, section, settings.Decode(tree, into)), about...)
}

// about are the problems of reading a section.
func (t *Tree) about(section string) []Problem {
	var problems []Problem
	for _, p := range t.problems {
		if rest, ok := strings.CutPrefix(p.Path, section); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			problems = append(problems, p)
		}
	}
	return problems
}
