package settings

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// Schema returns the JSON Schema (draft 2020-12) of the settings in defaults, a
// struct or a pointer to one. It accepts what Decode accepts, as far as a schema
// can say it; what Validate checks it does not know.
func Schema(defaults any) (json.RawMessage, error) {
	v := reflect.Indirect(reflect.ValueOf(defaults))
	if v.Kind() != reflect.Struct {
		return nil, fmt.Errorf("schema of %T: it is no struct", defaults)
	}
	s := schemaOf(v, nil)
	s.Version = jsonschema.Version
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("schema of %T: %w", defaults, err)
	}
	return text, nil
}

func schemaOf(v reflect.Value, enum []string) *jsonschema.Schema {
	t := v.Type()
	switch shapeOf(t) {
	case textual:
		return textSchema(t)
	case stringly:
		s := &jsonschema.Schema{Type: "string"}
		for _, e := range enum {
			s.Enum = append(s.Enum, e)
		}
		return s
	case boolean:
		return &jsonschema.Schema{Type: "boolean"}
	case integer:
		s := &jsonschema.Schema{Type: "integer"}
		if !v.CanInt() {
			s.Minimum = "0"
		}
		return s
	case list:
		return &jsonschema.Schema{Type: "array", Items: schemaOf(reflect.Zero(t.Elem()), enum)}
	case mapping:
		return &jsonschema.Schema{Type: "object", AdditionalProperties: schemaOf(reflect.Zero(t.Elem()), enum)}
	case pointer:
		if v.IsNil() {
			return schemaOf(reflect.Zero(t.Elem()), enum)
		}
		return schemaOf(v.Elem(), enum)
	case group:
		s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
		for _, f := range fields(t) {
			member := schemaOf(v.Field(f.index), f.enum)
			member.Description = f.doc
			member.Default = defaultValue(v.Field(f.index))
			describe(member, f, v.Field(f.index).Type())
			s.Properties.Set(f.name, member)
		}
		return s
	default:
		return &jsonschema.Schema{}
	}
}

// Keywords of ours, which a validator passes over.
const (
	typeKeyword   = "x-type"
	unitKeyword   = "x-unit"
	sourceKeyword = "x-source"
)

// describe adds what JSON Schema has no keyword for.
func describe(s *jsonschema.Schema, f field, t reflect.Type) {
	s.Extras = map[string]any{}
	add := func(keyword, text string) {
		if text != "" {
			s.Extras[keyword] = text
		}
	}
	if shapeOf(innermost(t)) != group {
		add(typeKeyword, typeName(t, f.enum))
	}
	add(unitKeyword, unitOf(t, f.unit))
	add(sourceKeyword, f.source)
	s.WriteOnly = isSecret(t)
}

func textSchema(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return orZero(`^(0+|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`)
	case reflect.TypeFor[Bytes]():
		return orZero(`^(0+|[0-9]+ ?(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB))$`)
	case reflect.TypeFor[FileMode]():
		return &jsonschema.Schema{Type: "string", Pattern: modePattern.String()}
	}
	return &jsonschema.Schema{Type: "string"}
}

// orZero is text of a pattern, or the number 0, which needs no unit.
func orZero(pattern string) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: pattern}, {Const: 0}}}
}

// defaultValue returns v as JSON has it, nil for a group and for no value.
func defaultValue(v reflect.Value) any {
	switch shapeOf(v.Type()) {
	case textual:
		if d, ok := reflect.TypeAssert[time.Duration](v); ok {
			return durationText(d)
		}
		if m, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
			if text, err := m.MarshalText(); err == nil {
				return string(text)
			}
		}
		return nil
	case stringly:
		return v.String()
	case boolean, integer:
		return v.Interface()
	case list:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = entryValue(v.Index(i))
		}
		return out
	case mapping:
		out := make(map[string]any, v.Len())
		for _, key := range sortedMapKeys(v) {
			out[key.String()] = entryValue(v.MapIndex(key))
		}
		return out
	case pointer:
		if !v.IsNil() {
			return defaultValue(v.Elem())
		}
	default:
	}
	return nil
}

// entryValue is defaultValue for what stands in a list or map, where a group
// has to be written out.
func entryValue(v reflect.Value) any {
	v = reflect.Indirect(v)
	if !v.IsValid() || shapeOf(v.Type()) != group {
		if !v.IsValid() {
			return nil
		}
		return defaultValue(v)
	}
	out := map[string]any{}
	for _, f := range fields(v.Type()) {
		out[f.name] = entryValue(v.Field(f.index))
	}
	return out
}

// durationText writes 90s as 1m30s and 5m0s as 5m.
func durationText(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// defaultText returns the default as it is written in YAML.
func defaultText(v reflect.Value) string {
	switch value := defaultValue(v).(type) {
	case nil:
		return ""
	case string:
		switch v.Type() {
		case reflect.TypeFor[time.Duration](), reflect.TypeFor[Bytes](), reflect.TypeFor[Secret]():
			return value
		}
		return strconv.Quote(value)
	default:
		text, err := json.Marshal(value)
		if err != nil {
			return ""
		}
		return string(text)
	}
}

func sortedMapKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	return keys
}
