package settings

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Validator is a struct that checks itself once decoded. Decode calls it on the
// struct and on every struct below it, in lists and maps too. Paths start at
// the struct itself: "min_workers", or empty for the whole.
type Validator interface{ Validate() []Problem }

func validate(path string, v reflect.Value) []Problem {
	var all []Problem
	switch shapeOf(v.Type()) {
	case group:
		target := reflect.New(v.Type())
		target.Elem().Set(v)
		if validator, ok := reflect.TypeAssert[Validator](target); ok {
			for _, p := range validator.Validate() {
				all = append(all, Problem{Path: Under(path, p.Path), Message: p.Message})
			}
		}
		for _, f := range fields(v.Type()) {
			all = append(all, validate(Join(path, f.name), v.Field(f.index))...)
		}
	case list:
		for i := range v.Len() {
			all = append(all, validate(Index(path, i), v.Index(i))...)
		}
	case mapping:
		for _, key := range sortedMapKeys(v) {
			all = append(all, validate(Join(path, key.String()), v.MapIndex(key))...)
		}
	case pointer:
		if !v.IsNil() {
			all = validate(path, v.Elem())
		}
	default:
	}
	return all
}

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// CheckStruct is for tests: it returns what is wrong with a settings struct
// itself. Every exported field needs a snake_case conf tag and a doc tag that is one
// sentence, a type Decode knows, no embedding; unless it is a group, a source tag
// that says where its default comes from; a number, a unit tag. The defaults
// must pass Validate and be written in a way Decode reads.
func CheckStruct(defaults any) []Problem {
	v := reflect.Indirect(reflect.ValueOf(defaults))
	if v.Kind() != reflect.Struct {
		return []Problem{{Message: fmt.Sprintf("%T is no struct", defaults)}}
	}
	all := checkType("", v.Type(), map[reflect.Type]bool{})
	all = append(all, checkChoices("", v)...)
	return append(all, validate("", v)...)
}

// checkChoices finds defaults that Decode would not take.
func checkChoices(path string, v reflect.Value) []Problem {
	var all []Problem
	for _, f := range fields(v.Type()) {
		at, member := Join(path, f.name), v.Field(f.index)
		switch {
		case shapeOf(member.Type()) == group:
			all = append(all, checkChoices(at, member)...)
		case shapeOf(member.Type()) == stringly && len(f.enum) > 0 && !slices.Contains(f.enum, member.String()):
			all = append(all, Problem{at, fmt.Sprintf("the default %q is not one of %s", member, strings.Join(f.enum, ", "))})
		}
	}
	return all
}

func checkType(path string, t reflect.Type, seen map[reflect.Type]bool) []Problem {
	switch shapeOf(t) {
	case list, mapping, pointer:
		return checkType(path, t.Elem(), seen)
	case unsupported:
		return []Problem{{path, fmt.Sprintf("has the unsupported type %s", t)}}
	case group:
	default:
		return nil
	}
	if seen[t] {
		return []Problem{{path, fmt.Sprintf("type %s contains itself", t)}}
	}
	seen[t] = true
	defer delete(seen, t)
	var all []Problem
	add := func(at, format string, args ...any) {
		all = append(all, Problem{at, fmt.Sprintf(format, args...)})
	}
	if m, ok := reflect.PointerTo(t).MethodByName("Validate"); ok && !reflect.PointerTo(t).Implements(reflect.TypeFor[Validator]()) {
		add(path, "%s has a Validate method of the wrong type %s", t, m.Type)
	}
	names := map[string]bool{}
	for f := range t.Fields() {
		name, doc := f.Tag.Get("conf"), f.Tag.Get("doc")
		switch at := Join(path, f.Name); {
		case !f.IsExported() && name == "", name == "-":
			continue
		case !f.IsExported():
			add(at, "has a conf tag but is not exported")
		case f.Anonymous:
			add(at, "is embedded")
		case !snakeCase.MatchString(name):
			add(at, "needs a conf tag in snake_case, has %q", name)
		case names[name]:
			add(at, "repeats the key %s", name)
		case doc == "" || doc[len(doc)-1] != '.':
			add(at, "needs a doc tag that is a sentence, has %q", doc)
		case shapeOf(f.Type) != group && f.Tag.Get("source") == "":
			add(at, "needs a source tag that says where its default comes from: source:\"nginx's send_timeout\"")
		case shapeOf(innermost(f.Type)) == integer && f.Tag.Get("unit") == "":
			add(at, "needs a unit tag that says what the number counts: unit:\"requests\"")
		default:
			all = append(all, checkType(Join(path, name), f.Type, seen)...)
		}
		names[name] = true
	}
	return all
}
