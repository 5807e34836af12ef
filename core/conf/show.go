package conf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// ShowOptions say how Show prints.
type ShowOptions struct {
	// JSON instead of YAML.
	JSON bool
	// Origins tells of every value the layer and the place it comes from: in YAML
	// as a comment; as JSON it makes a list of values.
	Origins bool
}

// Layer names where the value at an origin stands.
func (o Origin) Layer() string {
	switch {
	case o.Name == "":
		return "default"
	case o.Line > 0:
		if scheme, _, ok := strings.Cut(o.Name, "://"); ok {
			return scheme
		}
		return "file"
	case len(o.Name) > len(envPrefix) && o.Name[:len(envPrefix)] == envPrefix:
		return "environment"
	}
	return "--set"
}

// Show returns the merged configuration as text: every setting of the sections,
// defaults included, secrets masked. The error is an *Errors with every problem.
func (t *Tree) Show(o ShowOptions, specs ...Spec) ([]byte, error) {
	p := printer{}
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, spec := range specs {
		nodes, err := spec.Values(t)
		if err != nil {
			return nil, err
		}
		var section *yaml.Node
		if len(nodes) == 1 && nodes[0].Key == listKey {
			section = p.list(spec.Key(), nodes[0].Value, t.places.below[spec.Key()])
		} else {
			section = p.group(spec.Key(), nodes, t.places.below[spec.Key()])
		}
		root.Content = append(root.Content, text(spec.Key()), section)
	}
	switch {
	case o.JSON && o.Origins:
		return json.MarshalIndent(p.values, "", "  ")
	case o.JSON:
		tree, err := ordered(root)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		err = json.Indent(&out, tree, "", "  ")
		return out.Bytes(), err
	case !o.Origins:
		clearComments(root)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	err := errors.Join(enc.Encode(root), enc.Close())
	return out.Bytes(), err
}

// ShownValue is a value with its origin, as JSON.
type ShownValue struct {
	Path   string `json:"path"`
	Value  any    `json:"value"`
	Layer  string `json:"layer"`
	Name   string `json:"name,omitempty"` // of the file, variable or --set
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	// Source of a default.
	Source string `json:"source,omitempty"`
}

type printer struct{ values []ShownValue }

// group returns the node of a group; at is nil when nobody wrote it.
func (p *printer) group(path string, nodes []settings.Node, at *place) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode}
	for _, n := range nodes {
		var here *place
		if at != nil {
			here = at.below[n.Key]
		}
		below := settings.Join(path, n.Key)
		if n.Below != nil {
			out.Content = append(out.Content, text(n.Key), p.group(below, n.Below, here))
			continue
		}
		out.Content = append(out.Content, text(n.Key), p.value(below, n, here))
	}
	if len(out.Content) == 0 {
		out.Style = yaml.FlowStyle
	}
	return out
}

// list returns the node of a top-level list.
func (p *printer) list(path string, entries any, at *place) *yaml.Node {
	return p.value(path, settings.Node{Value: entries}, at)
}

func (p *printer) value(path string, n settings.Node, at *place) *yaml.Node {
	value := node(n.Value)
	shown := ShownValue{Path: path, Value: n.Value, Layer: "default", Source: n.Source}
	comment := shown.Layer
	if n.Source != "" {
		comment += ": " + n.Source
	}
	if at != nil {
		shown.Layer, shown.Source = at.origin.Layer(), ""
		shown.Name, shown.Line, shown.Column = at.origin.Name, at.origin.Line, at.origin.Column
		comment = at.origin.String()
		if shown.Layer != "--set" && !strings.HasPrefix(comment, shown.Layer+"://") { // which say so themselves
			comment = shown.Layer + " " + comment
		}
	}
	p.values = append(p.values, shown)
	value.LineComment = comment
	return value
}

// text returns s as YAML has it, in quotes where it would be something else.
func text(s string) *yaml.Node {
	n := &yaml.Node{}
	if n.Encode(s) != nil { // which takes every string
		n.SetString(s)
	}
	return n
}

// node returns a value as YAML that Load reads back: lists on one line.
func node(value any) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(value); err != nil {
		return text(fmt.Sprint(value))
	}
	if n.Kind != yaml.ScalarNode {
		n.Style = yaml.FlowStyle
	}
	return n
}

func clearComments(n *yaml.Node) {
	n.LineComment = ""
	for _, below := range n.Content {
		clearComments(below)
	}
}

// ordered is a node as JSON, its keys in their order.
func ordered(n *yaml.Node) (json.RawMessage, error) {
	if n.Kind != yaml.MappingNode {
		var value any
		if err := n.Decode(&value); err != nil {
			return nil, err
		}
		return json.Marshal(value)
	}
	out := []byte{'{'}
	for i := 0; i < len(n.Content); i += 2 {
		key, err := json.Marshal(n.Content[i].Value)
		if err != nil {
			return nil, err
		}
		value, err := ordered(n.Content[i+1])
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, key...), ':'), value...)
	}
	return append(out, '}'), nil
}

// Values returns the merged values of the section.
func (s Section[T]) Values(t *Tree) ([]settings.Node, error) {
	value, err := s.Decode(t)
	if err != nil {
		return nil, err
	}
	return settings.Dump(value), nil
}
