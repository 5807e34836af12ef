package conf

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// List is a top-level key of the configuration whose value is a list of T: of
// things that users name themselves. A later layer replaces the whole list.
type List[T any] struct {
	key      string
	doc      string
	defaults func() T
	validate func([]T) []settings.Problem
}

// NewList returns the list that stands under key. T is a struct as package
// settings describes it; defaults returns an entry that says nothing. validate,
// if any, judges the whole: its paths begin with settings.Index.
func NewList[T any](key, doc string, defaults func() T, validate func([]T) []settings.Problem) List[T] {
	return List[T]{key, doc, defaults, validate}
}

// listKey is under which a list stands in a Tree, whose sections are all maps; no
// setting has an empty name.
const listKey = ""

const notList = "must be a list: entries on lines of their own, each beginning with a dash"

// Key returns the top-level key.
func (l List[T]) Key() string { return l.key }

// Decode returns the entries. The error is an *Errors with every problem.
func (l List[T]) Decode(t *Tree) ([]T, error) {
	entries, problems := l.decode(t)
	if err := Err(problems); err != nil {
		return nil, err
	}
	return entries, nil
}

// Check returns every problem of the list.
func (l List[T]) Check(t *Tree) []Problem {
	_, problems := l.decode(t)
	return problems
}

// isList is for Tree.Check: what stands there needs not be a group.
func (l List[T]) isList() {}

func (l List[T]) decode(t *Tree) ([]T, []Problem) {
	section, _ := t.values[l.key].(map[string]any)
	raw, written := section[listKey].([]any)
	var bad []settings.Problem
	if len(section) > 0 && (len(section) > 1 || !written) {
		bad = append(bad, settings.Problem{Message: notList})
	}
	entries := make([]T, 0, len(raw))
	for i, entry := range raw {
		value := l.defaults()
		at := settings.Index("", i)
		tree, ok := entry.(map[string]any)
		if !ok {
			bad = append(bad, settings.Problem{Path: at, Message: notGroup})
			continue
		}
		for _, p := range settings.Decode(tree, &value) {
			bad = append(bad, settings.Problem{Path: settings.Under(at, p.Path), Message: p.Message})
		}
		entries = append(entries, value)
	}
	if len(bad) == 0 && l.validate != nil {
		bad = l.validate(entries)
	}
	problems := located(t.places, l.key, bad)
	for _, p := range t.about(l.key) {
		switch {
		case p.Path != l.key || p.Message != notGroup:
			problems = append(problems, p)
		case !written:
			problems = append(problems, Problem{p.Origin, p.Path, notList})
		}
	}
	return entries, problems
}

// Values returns the entries as one value.
func (l List[T]) Values(t *Tree) ([]settings.Node, error) {
	entries, err := l.Decode(t)
	if err != nil {
		return nil, err
	}
	values := make([]any, 0, len(entries))
	for _, e := range entries {
		values = append(values, plainValues(settings.Dump(e)))
	}
	return []settings.Node{{Key: listKey, Value: values}}, nil
}

func plainValues(nodes []settings.Node) map[string]any {
	out := make(map[string]any, len(nodes))
	for _, n := range nodes {
		if n.Value == nil {
			out[n.Key] = plainValues(n.Below)
			continue
		}
		out[n.Key] = n.Value
	}
	return out
}

// Fields describes the settings of an entry.
func (l List[T]) Fields() []settings.Field {
	fields := settings.Fields(l.defaults())
	for i := range fields {
		fields[i].Path = settings.Under(l.key+"[]", fields[i].Path)
	}
	return fields
}

// Schema is the JSON Schema of the list.
func (l List[T]) Schema() (json.RawMessage, error) {
	entry, err := schemaTree(settings.Schema(l.defaults()))
	if err != nil {
		return nil, err
	}
	if l.doc == "" {
		return nil, errors.New("a list needs a sentence that says what it is of")
	}
	delete(entry, "$schema")
	return json.Marshal(map[string]any{"type": "array", "items": entry, "description": l.doc})
}

// withoutLists drops the problem that a list is no group, where a list stands.
func (t *Tree) withoutLists(problems []Problem, specs []Spec) []Problem {
	return slices.DeleteFunc(problems, func(p Problem) bool {
		return p.Message == notGroup && slices.ContainsFunc(specs, func(s Spec) bool {
			_, list := s.(interface{ isList() })
			return list && p.Path == s.Key()
		})
	})
}
