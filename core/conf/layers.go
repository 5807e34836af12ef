package conf

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mevdschee/tqserver/sdk/settings"
)

const envPrefix = "TQSERVER_"

var settingKey = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)

// environment returns a layer per TQSERVER_ variable: two underscores separate
// levels, upper case becomes lower. In the order of the names, so that a part
// (…_HTTP__IDLE) comes after the whole (…_HTTP).
func environment(environ []string) []*document {
	var layers []*document
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, text, ok := strings.Cut(entry, "=")
		path, ours := strings.CutPrefix(name, envPrefix)
		if ok && ours {
			layers = append(layers, layer(name, strings.Split(strings.ToLower(path), "__"), text))
		}
	}
	return layers
}

// sets returns a layer per --set, in the order given: a later one wins.
func sets(values []string) []*document {
	var layers []*document
	for _, entry := range values {
		path, text, ok := strings.Cut(entry, "=")
		if !ok {
			d := &document{tree: map[string]any{}, places: newPlace(Origin{Name: "--set " + entry})}
			d.add(d.places.origin, "", "has no =; write section.key=value")
			layers = append(layers, d)
			continue
		}
		layers = append(layers, layer("--set "+path, strings.Split(path, "."), text))
	}
	return layers
}

// layer is a document with one setting, whose text is a YAML scalar, list or map
// on one line, so that typing is as strict as in the file.
func layer(name string, path []string, text string) *document {
	origin := Origin{Name: name}
	d := &document{tree: map[string]any{}, places: newPlace(origin)}
	fail := func(message string) *document {
		d.add(origin, "", "%s", message)
		return d
	}
	for _, key := range path {
		if !settingKey.MatchString(key) {
			return fail("is not the name of a setting")
		}
	}
	if len(path) > maxDepth {
		return fail("is nested too deeply")
	}
	root, err := parseValue(text)
	if err != nil {
		return fail(err.Error())
	}
	tree, at, full := d.tree, d.places, ""
	for _, key := range path[:len(path)-1] {
		below := map[string]any{}
		tree[key], at.below[key] = below, newPlace(origin)
		tree, at, full = below, at.below[key], settings.Join(full, key)
	}
	last := path[len(path)-1]
	at.below[last] = newPlace(origin)
	if v, ok := d.value(root, at.below[last], settings.Join(full, last), len(path)); ok {
		tree[last] = v
	}
	return d
}

// parseValue reads the text of a variable or --set. Text in which YAML sees more
// than one plain value (a: b, or a comment) has to be quoted, as nothing of it may
// be lost.
func parseValue(text string) (*yaml.Node, error) {
	if len(text) > maxBytes {
		return nil, errTooLarge
	}
	quote := errors.New(`is not a plain value to YAML; put it in double quotes within the value`)
	root, _, err := parseYAML([]byte(text))
	switch {
	case err != nil:
		return nil, quote
	case root == nil:
		if strings.TrimSpace(text) != "" {
			return nil, quote
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, nil
	case root.Kind == yaml.ScalarNode && root.Style == 0 && root.Value != strings.TrimSpace(text):
		return nil, quote
	case root.Kind != yaml.ScalarNode && root.Style&yaml.FlowStyle == 0:
		return nil, quote
	}
	return root, nil
}
