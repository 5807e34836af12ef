package conf

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// WorkerSpec describes worker.yaml, for its reference page and its schema; the
// module that reads the file makes it.
type WorkerSpec struct {
	// Defaults is the struct, filled, of the settings at the top.
	Defaults any
	// Required are the keys at the top that have no default.
	Required []string
	// Types are those of this binary that a worker may have.
	Types []WorkerType
	// Other describes the section of a type that the configuration adds; nil
	// when it cannot. Its name is not used.
	Other *WorkerType
}

// PluginName is the pattern of a plugin's name, which is also a type of worker
// and the key of its section.
const PluginName = "^[a-z][a-z0-9]*([_-][a-z0-9]+)*$"

// WorkerType describes the section below the name of a type.
type WorkerType struct {
	Name string
	// Defaults is the struct, filled, of what the server itself reads there.
	Defaults any
	// Schema is the JSON Schema of the plugin's settings, which stand beside;
	// empty when only the worker's own program knows them.
	Schema json.RawMessage
}

// Fields lists every setting of worker.yaml: those at the top, then those of
// each type below its name.
func (w WorkerSpec) Fields() ([]settings.Field, error) {
	all := settings.Fields(w.Defaults)
	for _, t := range w.Types {
		all = append(all, settings.Field{Path: t.Name, Type: "group", Doc: "Settings of a worker of type " + t.Name + "."})
		plugin, err := settings.SchemaFields(t.Schema)
		if err != nil {
			return nil, fmt.Errorf("type %s: %w", t.Name, err)
		}
		for _, f := range append(plugin, settings.Fields(t.Defaults)...) {
			f.Path = settings.Under(t.Name, f.Path)
			all = append(all, f)
		}
	}
	return all, nil
}

// Schema returns the JSON Schema of worker.yaml.
func (w WorkerSpec) Schema() (json.RawMessage, error) {
	top, err := schemaTree(settings.Schema(w.Defaults))
	if err != nil {
		return nil, err
	}
	properties := members(top)
	var names []any
	for _, t := range w.Types {
		section, err := t.section()
		if err != nil {
			return nil, fmt.Errorf("type %s: %w", t.Name, err)
		}
		section["description"] = "Settings of a worker of type " + t.Name + "."
		properties[t.Name] = orNull(section)
		names = append(names, t.Name)
	}
	top["title"], top["required"] = "worker.yaml of TQServer", w.Required
	if member, ok := properties["type"].(map[string]any); ok && w.Other == nil {
		member["enum"] = names
	} else if ok {
		if err := w.others(top, member, names); err != nil {
			return nil, err
		}
	}
	return json.MarshalIndent(top, "", "  ")
}

// section is the schema of the section below the type's name.
func (t WorkerType) section() (map[string]any, error) {
	section, err := schemaTree(settings.Schema(t.Defaults))
	if err != nil {
		return nil, err
	}
	delete(section, "$schema")
	if len(t.Schema) == 0 {
		delete(section, "additionalProperties") // the worker's own program checks them
		return section, nil
	}
	plugin, err := schemaTree(t.Schema, nil)
	if err != nil {
		return nil, fmt.Errorf("the plugin's schema: %w", err)
	}
	maps.Copy(members(section), members(plugin))
	return section, nil
}

// others makes the schema of worker.yaml take other types than the names, each
// with the section of its name. A schema cannot compare a key with a value, so
// that section has to be a map and may have any name that is one of a plugin;
// a worker of one of the names has no such section.
func (w WorkerSpec) others(top, member map[string]any, names []any) error {
	section, err := w.Other.section()
	if err != nil {
		return fmt.Errorf("other types: %w", err)
	}
	section["description"] = "Settings of a worker whose type a plugin of the configuration runs."
	// Editors complete by the first.
	member["anyOf"] = []any{map[string]any{"enum": names}, map[string]any{"pattern": PluginName}}
	known := slices.Sorted(maps.Keys(members(top)))
	top["additionalProperties"] = orNull(section)
	top["propertyNames"] = map[string]any{"anyOf": []any{map[string]any{"enum": known}, map[string]any{"pattern": PluginName}}}
	top["if"] = map[string]any{"properties": map[string]any{"type": map[string]any{"enum": names}}}
	top["then"] = map[string]any{"propertyNames": map[string]any{"enum": known}}
	return nil
}

// schemaTree reads a schema as a tree that can be changed.
func schemaTree(text json.RawMessage, err error) (map[string]any, error) {
	if err != nil {
		return nil, err
	}
	tree := map[string]any{}
	return tree, json.Unmarshal(text, &tree)
}

// members are the properties of a schema of an object.
func members(schema map[string]any) map[string]any {
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		properties = map[string]any{}
		schema["properties"] = properties
	}
	return properties
}

// orNull takes an empty section too.
func orNull(schema any) map[string]any {
	return map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
}
