package settings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pb33f/ordered-map/v2"
)

// SchemaFields lists the settings that a JSON Schema describes, as Fields lists
// those of a struct: from what Schema returned it makes the same list. Of a
// schema made by somebody else it takes what it finds. Empty text has none.
func SchemaFields(schema json.RawMessage) ([]Field, error) {
	s, err := parseSchema(schema)
	if err != nil || s == nil {
		return nil, err
	}
	return schemaFields("", s, 0), nil
}

// node is what is read of a schema; one of jsonschema's own forgets the keywords
// it does not know.
type node struct {
	Kind        any                                   `json:"type"` // text, or a list of texts
	Description string                                `json:"description"`
	Default     any                                   `json:"default"`
	Enum        []any                                 `json:"enum"`
	Items       *node                                 `json:"items"`
	Properties  *orderedmap.OrderedMap[string, *node] `json:"properties"`
	Additional  *node                                 `json:"additionalProperties"`
	WriteOnly   bool                                  `json:"writeOnly"`
	XType       string                                `json:"x-type"`
	XUnit       string                                `json:"x-unit"`
	XSource     string                                `json:"x-source"`
}

// UnmarshalJSON takes true and false too, which are schemas.
func (n *node) UnmarshalJSON(text []byte) error {
	if text[0] != '{' {
		return nil
	}
	type plain node
	return json.Unmarshal(text, (*plain)(n))
}

func parseSchema(schema json.RawMessage) (*node, error) {
	if len(bytes.TrimSpace(schema)) == 0 {
		return nil, nil //nolint:nilnil // no schema is no error
	}
	var n node
	if err := json.Unmarshal(schema, &n); err != nil {
		return nil, fmt.Errorf("read a JSON Schema: %w", err)
	}
	return &n, nil
}

// maxSchemaDepth bounds the walk through a schema of somebody else's.
const maxSchemaDepth = 16

func schemaFields(path string, s *node, depth int) []Field {
	if s.Properties == nil || depth > maxSchemaDepth {
		return nil
	}
	var all []Field
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		member := p.Value
		here := Field{
			Path: Join(path, p.Key), Type: member.XType, Unit: member.XUnit,
			Source: member.XSource, Doc: member.Description, Secret: member.WriteOnly,
		}
		if here.Type == "" {
			here.Type = schemaType(member)
		}
		if here.Type != "group" {
			here.Default = schemaDefault(here.Type, member.Default)
		}
		all = append(all, here)
		under, inner := here.Path, member
		for i := 0; i < maxSchemaDepth && inner.Properties == nil; i++ {
			switch {
			case inner.Items != nil:
				under, inner = under+"[]", inner.Items
			case inner.Additional != nil:
				under, inner = under+".*", inner.Additional
			}
		}
		all = append(all, schemaFields(under, inner, depth+1)...)
	}
	return all
}

func schemaType(s *node) string {
	switch {
	case s.Properties != nil:
		return "group"
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, e := range s.Enum {
			words[i] = fmt.Sprint(e)
		}
		return "one of " + strings.Join(words, ", ")
	case s.Items != nil:
		return "list of " + schemaType(s.Items)
	case s.Kind == "object" && s.Additional != nil:
		return "map of " + schemaType(s.Additional)
	case s.Kind == "integer":
		return "int"
	case s.Kind == "boolean":
		return "bool"
	case s.Kind == "object":
		return "group"
	}
	if name, ok := s.Kind.(string); ok {
		return name
	}
	return "any"
}

// schemaDefault writes a default as defaultText does.
func schemaDefault(typ string, value any) string {
	text, isText := value.(string)
	switch {
	case value == nil:
		return ""
	case isText && slices.Contains([]string{"duration", "size", "secret"}, typ):
		return text
	case isText:
		return strconv.Quote(text)
	}
	out, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(out)
}

// ResolveSecrets is Secrets.Resolve for a schema that is used once.
func ResolveSecrets(schema, settings json.RawMessage) (json.RawMessage, []Problem) {
	return SecretsOf(schema).Resolve(settings)
}

// Secrets knows which settings of a schema are secrets. Many may use it at once.
type Secrets struct{ schema *node }

// SecretsOf reads a JSON Schema; one that is none, or empty, has no secrets.
func SecretsOf(schema json.RawMessage) Secrets {
	s, err := parseSchema(schema)
	if err != nil {
		return Secrets{}
	}
	return Secrets{s}
}

// Resolve returns settings with the file or variable read of every secret that
// the schema names, and what was wrong with any. A plugin runs as another user
// and with an empty environment: it could read neither.
func (s Secrets) Resolve(settings json.RawMessage) (json.RawMessage, []Problem) {
	if s.schema == nil {
		return settings, nil // a plugin that describes nothing has no secrets
	}
	dec := json.NewDecoder(bytes.NewReader(settings))
	dec.UseNumber()
	var tree any
	if dec.Decode(&tree) != nil {
		return settings, nil // Decode will say so
	}
	r := &resolver{}
	tree = r.value("", s.schema, tree, false)
	if !r.found {
		return settings, nil
	}
	out, err := json.Marshal(tree)
	if err != nil {
		return settings, []Problem{{Message: err.Error()}}
	}
	return out, r.problems
}

type resolver struct {
	found    bool
	problems []Problem
}

func (r *resolver) value(path string, s *node, v any, secret bool) any {
	if s != nil {
		secret = secret || s.WriteOnly
	}
	switch v := v.(type) {
	case string:
		if !secret {
			return v
		}
		r.found = true
		value, err := Resolve(v)
		if err != nil {
			r.problems = append(r.problems, Problem{Path: path, Message: err.Error()})
		}
		return "text:" + value // so that nobody takes the value for a reference
	case []any:
		for i := range v {
			v[i] = r.value(Index(path, i), below(s, ""), v[i], secret)
		}
	case map[string]any:
		for _, key := range sortedKeys(v) {
			v[key] = r.value(Join(path, key), below(s, key), v[key], secret)
		}
	}
	return v
}

// below is the schema of an entry of a list (key empty) or of a member.
func below(s *node, key string) *node {
	if s == nil {
		return nil
	}
	if key == "" {
		return s.Items
	}
	if s.Properties != nil {
		if member, ok := s.Properties.Get(key); ok {
			return member
		}
	}
	return s.Additional
}
