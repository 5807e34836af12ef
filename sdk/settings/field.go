package settings

import (
	"encoding"
	"reflect"
	"strings"
	"time"
)

// field is a struct field that is a setting.
type field struct {
	index  int
	name   string
	doc    string
	source string
	unit   string
	enum   []string
}

// fields lists the settings of struct type t in the order of the source.
func fields(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("conf")
		if !f.IsExported() || name == "" || name == "-" {
			continue
		}
		var enum []string
		if e := f.Tag.Get("enum"); e != "" {
			enum = strings.Split(e, ",")
		}
		list = append(list, field{i, name, f.Tag.Get("doc"), f.Tag.Get("source"), f.Tag.Get("unit"), enum})
	}
	return list
}

// shape is how a value of a type is written.
type shape int

const (
	unsupported shape = iota
	textual           // Duration, Bytes, FileMode, anything with UnmarshalText
	stringly
	boolean
	integer
	list
	mapping
	group // struct
	pointer
)

// shapeOf is the one place that knows which types can be settings.
func shapeOf(t reflect.Type) shape {
	if t == reflect.TypeFor[time.Duration]() || (t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())) {
		return textual
	}
	switch t.Kind() {
	case reflect.String:
		return stringly
	case reflect.Bool:
		return boolean
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return integer
	case reflect.Slice:
		return list
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return mapping
		}
	case reflect.Struct:
		return group
	case reflect.Pointer:
		return pointer
	default:
	}
	return unsupported
}

// Field describes one setting for a page of reference.
type Field struct {
	// Path from the top of the struct; entries of a list as "listen[]", of a
	// map as "env.*".
	Path string
	// Type in words: "duration", "list of string", "one of static, dynamic".
	Type string
	// Unit of a number: "requests", or the units a duration or a size may be
	// written in; empty for what has none.
	Unit string
	// Default as it is written in YAML; empty for a group and for what has none.
	Default string
	// Source says where the default comes from; empty for a group.
	Source string
	// Doc is the sentence of the doc tag.
	Doc string
	// Secret values are shown to nobody.
	Secret bool
}

// Fields lists every setting of defaults, a struct or a pointer to one, groups
// before their members, in the order of the source.
func Fields(defaults any) []Field {
	return listFields("", reflect.Indirect(reflect.ValueOf(defaults)))
}

func listFields(path string, v reflect.Value) []Field {
	var all []Field
	for _, f := range fields(v.Type()) {
		value := v.Field(f.index)
		here := Field{
			Path: Join(path, f.name), Type: typeName(value.Type(), f.enum), Unit: unitOf(value.Type(), f.unit),
			Doc: f.doc, Default: defaultText(value), Source: f.source, Secret: isSecret(value.Type()),
		}
		all = append(all, here)
		under, elem := here.Path, value
		for elem.Kind() == reflect.Pointer || shapeOf(elem.Type()) == list || shapeOf(elem.Type()) == mapping {
			switch shapeOf(elem.Type()) {
			case list:
				under += "[]"
			case mapping:
				under += ".*"
			default:
			}
			if elem.Kind() == reflect.Pointer && !elem.IsNil() {
				elem = elem.Elem()
				continue
			}
			elem = reflect.Zero(elem.Type().Elem())
		}
		if shapeOf(elem.Type()) == group {
			all = append(all, listFields(under, elem)...)
		}
	}
	return all
}

// Units of the types that have some.
const (
	durationUnits = "ns, us, ms, s, m, h"
	sizeUnits     = "B, kB, KiB, MB, MiB, GB, GiB, TB, TiB"
)

// unitOf is the unit of what stands in t; tag is that of a number.
func unitOf(t reflect.Type, tag string) string {
	switch innermost(t) {
	case reflect.TypeFor[time.Duration]():
		return durationUnits
	case reflect.TypeFor[Bytes]():
		return sizeUnits
	}
	return tag
}

// innermost is the type of the values in lists, maps and behind pointers.
func innermost(t reflect.Type) reflect.Type {
	for s := shapeOf(t); s == list || s == mapping || s == pointer; s = shapeOf(t) {
		t = t.Elem()
	}
	return t
}

func isSecret(t reflect.Type) bool { return innermost(t) == reflect.TypeFor[Secret]() }

func typeName(t reflect.Type, enum []string) string {
	if len(enum) > 0 && t.Kind() == reflect.String {
		return "one of " + strings.Join(enum, ", ")
	}
	switch shapeOf(t) {
	case textual:
		switch t {
		case reflect.TypeFor[time.Duration]():
			return "duration"
		case reflect.TypeFor[Bytes]():
			return "size"
		case reflect.TypeFor[FileMode]():
			return "file mode"
		case reflect.TypeFor[Secret]():
			return "secret"
		}
		return "string"
	case list:
		return "list of " + typeName(t.Elem(), enum)
	case mapping:
		return "map of " + typeName(t.Elem(), enum)
	case pointer:
		return typeName(t.Elem(), enum)
	case group:
		return "group"
	case integer:
		return "int"
	default:
		return t.Kind().String()
	}
}
