package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sort"
	"strings"
)

// Decode fills into, a pointer to a struct that holds the defaults, from tree,
// and validates the result. It returns every problem, nil when there is none. What
// had a problem keeps its default. The top-level keys named in other belong to
// somebody else and are left alone.
//
// Leaves of the tree are string, bool, nil, a Go number or a json.Number, whose
// text is what the user wrote; branches are map[string]any and []any.
func Decode(tree map[string]any, into any, other ...string) []Problem {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return []Problem{{Message: fmt.Sprintf("cannot decode into a %T; it takes a pointer to a struct", into)}}
	}
	d := &decoder{}
	d.group("", tree, v.Elem(), other)
	for _, p := range validate("", v.Elem()) {
		// A setting that could not be read is not also judged.
		if !slices.ContainsFunc(d.problems, func(q Problem) bool { return q.Path == p.Path && p.Path != "" }) {
			d.problems = append(d.problems, p)
		}
	}
	return d.problems
}

// DecodeJSON is Decode for the text of a JSON object; empty text and null
// leave the defaults.
func DecodeJSON(text []byte, into any) []Problem {
	var tree map[string]any
	if len(bytes.TrimSpace(text)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&tree); err != nil {
			return []Problem{{Message: "is not a JSON object: " + err.Error()}}
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return []Problem{{Message: "is more than one JSON object"}}
		}
	}
	return Decode(tree, into)
}

type decoder struct{ problems []Problem }

func (d *decoder) add(path, message string) {
	d.problems = append(d.problems, Problem{Path: path, Message: message})
}

// check reports err as what is wrong with src.
func (d *decoder) check(path string, src any, err error) {
	if err != nil {
		d.add(path, show(src)+" "+err.Error())
	}
}

func (d *decoder) value(path string, src any, dst reflect.Value, enum []string) {
	s := shapeOf(dst.Type())
	if src == nil && s != group {
		d.add(path, "is empty; give it a value or remove the key")
		return
	}
	switch s {
	case textual:
		if dst.Type() == reflect.TypeFor[Secret]() {
			d.secret(path, src, dst)
			return
		}
		d.check(path, src, setText(src, dst))
	case stringly:
		d.check(path, src, setString(src, dst, enum))
	case boolean:
		d.check(path, src, setBool(src, dst))
	case integer:
		d.check(path, src, setInt(src, dst))
	case list:
		d.list(path, src, dst, enum)
	case mapping:
		d.mapping(path, src, dst, enum)
	case pointer:
		target := reflect.New(dst.Type().Elem())
		if !dst.IsNil() {
			target.Elem().Set(dst.Elem())
		}
		d.value(path, src, target.Elem(), enum)
		dst.Set(target)
	case group:
		tree, ok := src.(map[string]any)
		if !ok && src != nil {
			d.add(path, fmt.Sprintf("is %s; it must be a group of settings, one key: value per line below it", kind(src)))
			return
		}
		d.group(path, tree, dst, nil)
	case unsupported:
		d.add(path, fmt.Sprintf("has the unsupported type %s", dst.Type()))
	}
}

// secret reads a secret, and says nothing of what was written.
func (d *decoder) secret(path string, src any, dst reflect.Value) {
	text, ok := src.(string)
	if !ok {
		d.add(path, "is "+kind(src)+", not text; put it in quotes")
		return
	}
	var s Secret
	if err := s.UnmarshalText([]byte(text)); err != nil {
		d.add(path, err.Error())
		return
	}
	dst.Set(reflect.ValueOf(s))
}

func (d *decoder) group(path string, tree map[string]any, dst reflect.Value, other []string) {
	known := slices.Clone(other)
	for _, f := range fields(dst.Type()) {
		known = append(known, f.name)
		if src, ok := tree[f.name]; ok && !slices.Contains(other, f.name) {
			d.value(Join(path, f.name), src, dst.Field(f.index), f.enum)
		}
	}
	for _, key := range sortedKeys(tree) {
		if !slices.Contains(known, key) {
			d.add(Join(path, key), Unknown("key", key, known))
		}
	}
}

// Unknown is the message for a key (or other thing, named by what) that is none
// of known.
func Unknown(what, key string, known []string) string {
	if near := Nearest(key, known); near != "" {
		return fmt.Sprintf("unknown %s %q; did you mean %s?", what, cut(key), near)
	}
	if first, rest, ok := strings.Cut(key, "."); ok && slices.Contains(known, first) {
		return fmt.Sprintf("unknown %s %q; write %s below %s:, not joined by a dot", what, cut(key), cut(rest), first)
	}
	if len(known) == 0 {
		return fmt.Sprintf("unknown %s %q", what, cut(key))
	}
	known = slices.Sorted(slices.Values(known))
	return fmt.Sprintf("unknown %s %q; known are %s", what, cut(key), strings.Join(known, ", "))
}

func (d *decoder) list(path string, src any, dst reflect.Value, enum []string) {
	entries, ok := src.([]any)
	if !ok {
		entry := example(src)
		if isSecret(dst.Type()) {
			entry = "…"
		}
		d.add(path, fmt.Sprintf("is %s; it must be a list: [%s]", kind(src), entry))
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(entries), len(entries))
	for i, entry := range entries {
		d.value(Index(path, i), entry, out.Index(i), enum)
	}
	dst.Set(out)
}

func example(src any) string {
	switch src.(type) {
	case []any, map[string]any:
		return "…"
	}
	return show(src)
}

func (d *decoder) mapping(path string, src any, dst reflect.Value, enum []string) {
	tree, ok := src.(map[string]any)
	if !ok {
		d.add(path, fmt.Sprintf("is %s; it must be a map of names to values", kind(src)))
		return
	}
	out := reflect.MakeMapWithSize(dst.Type(), len(tree))
	for _, key := range sortedKeys(tree) {
		entry := reflect.New(dst.Type().Elem()).Elem()
		d.value(Join(path, key), tree[key], entry, enum)
		out.SetMapIndex(reflect.ValueOf(key).Convert(dst.Type().Key()), entry)
	}
	dst.Set(out)
}

func sortedKeys(tree map[string]any) []string {
	keys := make([]string, 0, len(tree))
	for key := range tree {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
