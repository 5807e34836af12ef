package conf

import (
	"encoding/json"
	"fmt"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// Spec is a section of any type, for lists of them. Section implements it.
type Spec interface {
	// Key is the top-level key.
	Key() string
	// Check returns every problem of the section in the tree.
	Check(*Tree) []Problem
	// Values returns the merged values of the tree's section, in order.
	Values(*Tree) ([]settings.Node, error)
	// Fields describes the settings, their paths beginning with the key.
	Fields() []settings.Field
	// Schema is the JSON Schema of the section's settings.
	Schema() (json.RawMessage, error)
}

// Section is a top-level key of the configuration and the struct T it fills.
type Section[T any] struct {
	key      string
	defaults func() T
}

// NewSection returns the section that stands under key. T is a struct as package
// settings describes it; defaults returns it filled, afresh at each call.
func NewSection[T any](key string, defaults func() T) Section[T] {
	return Section[T]{key, defaults}
}

// Key returns the top-level key.
func (s Section[T]) Key() string { return s.key }

// Defaults returns the settings of a section that says nothing.
func (s Section[T]) Defaults() T { return s.defaults() }

// Decode returns the settings of the section, its defaults when it is missing.
// The error is an *Errors with every problem.
func (s Section[T]) Decode(t *Tree) (T, error) {
	value := s.defaults()
	if err := Err(t.decode(s.key, &value)); err != nil && !t.lenient {
		return s.defaults(), err
	}
	return value, nil
}

// Check returns every problem of the section.
func (s Section[T]) Check(t *Tree) []Problem {
	value := s.defaults()
	return t.decode(s.key, &value)
}

// Fields describes the settings for a page of reference.
func (s Section[T]) Fields() []settings.Field {
	fields := settings.Fields(s.defaults())
	for i := range fields {
		fields[i].Path = settings.Under(s.key, fields[i].Path)
	}
	return fields
}

// Schema returns the JSON Schema of the settings.
func (s Section[T]) Schema() (json.RawMessage, error) { return settings.Schema(s.defaults()) }

// Schema returns the JSON Schema of a file with these sections, each of which
// may be empty.
func Schema(specs ...Spec) (json.RawMessage, error) {
	sections := map[string]any{}
	for _, spec := range specs {
		schema, err := spec.Schema()
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", spec.Key(), err)
		}
		tree, err := schemaTree(schema, nil)
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", spec.Key(), err)
		}
		delete(tree, "$schema")
		sections[spec.Key()] = orNull(tree)
	}
	sections[includeKey] = map[string]any{
		"type": "array", "items": map[string]any{"type": "string", "minLength": 1}, "description": includeDoc,
	}
	return json.MarshalIndent(map[string]any{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"title":                "tqserver.yaml of TQServer",
		"type":                 "object",
		"additionalProperties": false,
		"properties":           sections,
	}, "", "  ")
}
