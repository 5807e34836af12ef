package conf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// Limits of one document. They are far above any sensible configuration and far
// below what would hurt.
const (
	maxBytes = 1 << 20
	maxDepth = 32
	maxNodes = 100_000 // counted after aliases are followed
)

// document is one parsed layer: its settings, where they stand, and what was
// wrong short of being unreadable.
type document struct {
	tree     map[string]any
	places   *place
	problems []Problem
	nodes    int
	isFile   bool // its places have lines
}

// readFile reads a whole regular file of at most maxBytes. A pipe or device
// could make a start or a reload wait without end.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxBytes {
		return nil, errTooLarge
	}
	return text, nil
}

var errTooLarge = errors.New("is larger than 1 MiB")

// parseFile reads the YAML file at path. The error is an *Errors.
func parseFile(path string) (*document, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, &Errors{[]Problem{{Origin: Origin{Name: path}, Message: err.Error()}}}
	}
	return parseText(path, text)
}

// parseText reads the text of the file with this name. The error is an *Errors.
func parseText(path string, text []byte) (*document, error) {
	fail := func(line int, message string) (*document, error) {
		return nil, &Errors{[]Problem{{Origin: Origin{Name: path, Line: line}, Message: message}}}
	}
	if len(text) > maxBytes {
		return fail(0, errTooLarge.Error())
	}
	root, line, err := parseYAML(text)
	if err != nil {
		return fail(line, err.Error())
	}
	d := &document{tree: map[string]any{}, places: newPlace(Origin{Name: path}), isFile: true}
	if root == nil {
		return d, nil
	}
	value, ok := d.value(root, d.places, "", 0)
	if tree, isTree := value.(map[string]any); isTree {
		d.tree = tree
	} else if ok && value != nil {
		return fail(root.Line, "the file must be settings, one key: value per line, not "+kindOf(root))
	}
	return d, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// parseYAML returns the content of the only document in text, nil when it is
// empty, or the error with its line, 0 when unknown.
func parseYAML(text []byte) (root *yaml.Node, line int, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	err = dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, 0, nil
	}
	if err == nil {
		if err = dec.Decode(&second); errors.Is(err, io.EOF) {
			return doc.Content[0], 0, nil
		}
		if err == nil {
			return nil, second.Line, errors.New("a second document begins here (---); a file holds one")
		}
	}
	message := err.Error()
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1]) // no line: 0
		message = message[len(m[0]):]
	}
	if line > 0 && strings.HasPrefix(message, "did not find expected") {
		// yaml counts lines from 0 here, and names where the block begins.
		line, message = line+1, message+", here or below"
	}
	if tab := tabLine(text); tab > 0 && strings.Contains(message, "cannot start any token") {
		return nil, tab, errors.New("a tab cannot indent YAML; write spaces")
	}
	return nil, line, errors.New("not YAML: " + message)
}

// tabLine returns the first line whose indentation holds a tab, 0 for none.
func tabLine(text []byte) int {
	for i, line := range strings.Split(string(text), "\n") {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if strings.Contains(indent, "\t") {
			return i + 1
		}
	}
	return 0
}

func (d *document) add(origin Origin, path, format string, args ...any) {
	d.problems = append(d.problems, Problem{origin, path, fmt.Sprintf(format, args...)})
}

// value turns a node into settings and notes its places in p. It returns false
// when the node had to be left out.
func (d *document) value(n *yaml.Node, p *place, path string, depth int) (any, bool) {
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.add(d.places.origin, "", "holds more than %d values once its aliases are followed", maxNodes)
		}
		return nil, false
	}
	if depth > maxDepth {
		d.add(p.origin, "", "is nested deeper than %d levels", maxDepth)
		return nil, false
	}
	switch n.Kind {
	case yaml.AliasNode:
		return d.value(n.Alias, p, path, depth+1)
	case yaml.MappingNode:
		return d.mapping(n, p, path, depth)
	case yaml.SequenceNode:
		return d.list(n, p, path, depth)
	default:
		return d.scalar(n, p, path)
	}
}

func (d *document) list(n *yaml.Node, p *place, path string, depth int) (any, bool) {
	p.leaf = true
	list, complete := []any{}, true
	for i, entry := range n.Content {
		at := newPlace(d.at(entry))
		p.below[settings.Index("", i)] = at
		v, ok := d.value(entry, at, settings.Index(path, i), depth+1)
		list, complete = append(list, v), complete && ok
	}
	return list, complete
}

// at returns the place of n: its line in a file, else the layer's name.
func (d *document) at(n *yaml.Node) Origin {
	if !d.isFile {
		return d.places.origin
	}
	return Origin{d.places.origin.Name, n.Line, n.Column}
}

func (d *document) scalar(n *yaml.Node, p *place, path string) (any, bool) {
	p.leaf = true
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value, true
	case "!!int", "!!float":
		// As text: what the user wrote belongs into messages, and 1.10 is
		// not 1.1 to somebody who meant a version.
		return json.Number(n.Value), true
	case "!!bool":
		return strings.EqualFold(n.Value, "true"), true
	case "!!null":
		return nil, true
	}
	d.add(p.origin, path, "the tag %s is not supported", n.Tag)
	return nil, false
}

func (d *document) mapping(n *yaml.Node, p *place, path string, depth int) (any, bool) {
	tree := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := newPlace(d.at(key))
		switch tag := key.ShortTag(); {
		case key.Kind == yaml.ScalarNode && tag == "!!merge":
			d.add(at.origin, path, "merge keys (<<) are not supported; write the settings out")
			continue
		case key.Kind != yaml.ScalarNode:
			d.add(at.origin, path, "a key must be text, not %s", kindOf(key))
			continue
		case tag != "!!str":
			d.add(at.origin, path, "the key %s is %s to YAML, not text; put it in quotes", key.Value, kindOf(key))
			continue
		case key.Value == "":
			d.add(at.origin, path, "a key is empty")
			continue
		}
		below := settings.Join(path, key.Value)
		if first, ok := p.below[key.Value]; ok {
			d.add(at.origin, below, "repeats the key of line %d", first.origin.Line)
			continue
		}
		p.below[key.Value] = at
		if v, ok := d.value(value, at, below, depth+1); ok {
			tree[key.Value] = v
		}
	}
	return tree, true
}

// kindOf names a node in a message.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a group of settings"
	case yaml.AliasNode:
		return "an alias"
	default:
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "empty"
	case "!!timestamp":
		return "a date"
	}
	return "text"
}
