package settings

import "reflect"

// Node is a setting with its value, for printing a whole configuration.
type Node struct {
	Key string
	// Value is text, true or false, a number, or a list of those; nil for a group.
	Value any
	// Source says where the value comes from if it is the default.
	Source string
	// Below are the members of a group or a map, in the order of the struct or of
	// their names.
	Below []Node
}

// Dump lists the values of v, a struct or a pointer to one, in the order of the
// source. A secret shows as its reference, or as Masked.
func Dump(v any) []Node { return dumpGroup(reflect.Indirect(reflect.ValueOf(v))) }

func dumpGroup(v reflect.Value) []Node {
	var all []Node
	for _, f := range fields(v.Type()) {
		member := reflect.Indirect(v.Field(f.index))
		if !member.IsValid() {
			continue // absent
		}
		n := Node{Key: f.name, Source: f.source}
		switch shapeOf(member.Type()) {
		case group:
			n.Below = dumpGroup(member)
		case mapping:
			if member.Len() == 0 {
				n.Value = map[string]any{}
				break
			}
			for _, key := range sortedMapKeys(member) {
				n.Below = append(n.Below, dumpEntry(key.String(), member.MapIndex(key), f.source))
			}
		default:
			n.Value = shown(member)
		}
		all = append(all, n)
	}
	return all
}

func dumpEntry(key string, v reflect.Value, source string) Node {
	v = reflect.Indirect(v)
	if v.IsValid() && shapeOf(v.Type()) == group {
		return Node{Key: key, Below: dumpGroup(v)}
	}
	return Node{Key: key, Value: shown(v), Source: source}
}

// shown is the value as it is written, secrets apart.
func shown(v reflect.Value) any {
	v = reflect.Indirect(v)
	if !v.IsValid() {
		return nil
	}
	if s, ok := reflect.TypeAssert[Secret](v); ok {
		if reference := s.Reference(); reference != "" {
			return reference
		}
		return s.String()
	}
	switch shapeOf(v.Type()) {
	case list:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = shown(v.Index(i))
		}
		return out
	case group, mapping:
		out := map[string]any{}
		for _, n := range dumpAny(v) {
			out[n.Key] = n.tree()
		}
		return out
	default:
		return defaultValue(v)
	}
}

func dumpAny(v reflect.Value) []Node {
	if shapeOf(v.Type()) == group {
		return dumpGroup(v)
	}
	var all []Node
	for _, key := range sortedMapKeys(v) {
		all = append(all, dumpEntry(key.String(), v.MapIndex(key), ""))
	}
	return all
}

// tree is the value of a node with all below it.
func (n Node) tree() any {
	if n.Below == nil {
		return n.Value
	}
	out := map[string]any{}
	for _, below := range n.Below {
		out[below.Key] = below.tree()
	}
	return out
}
