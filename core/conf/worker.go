package conf

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// WorkerSpec describes worker.yaml, for its reference page and its schema; the
// module that reads the file makes it.
type WorkerSpec struct {
	// Defaults is the struct, filled, of the settings at the top.
	Defaults any
	// Required are the keys at the top that have no default.
	Required []string
	// Types are those a worker may have.
	Types []WorkerType
}

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
		section, err := schemaTree(settings.Schema(t.Defaults))
		if err != nil {
			return nil, fmt.Errorf("type %s: %w", t.Name, err)
		}
		delete(section, "$schema")
		section["description"] = "Settings of a worker of type " + t.Name + "."
		if len(t.Schema) == 0 {
			delete(section, "additionalProperties") // the worker's own program checks them
		} else {
			plugin, err := schemaTree(t.Schema, nil)
			if err != nil {
				return nil, fmt.Errorf("type %s: the plugin's schema: %w", t.Name, err)
			}
			maps.Copy(members(section), members(plugin))
		}
		properties[t.Name] = orNull(section)
		names = append(names, t.Name)
	}
	if member, ok := properties["type"].(map[string]any); ok {
		member["enum"] = names
	}
	top["title"], top["required"] = "worker.yaml of TQServer", w.Required
	return json.MarshalIndent(top, "", "  ")
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
