package conf

import (
	"encoding/json"
	"slices"

	"github.com/mevdschee/tqserver/sdk/settings"
)

// Document is a configuration file of its own, such as a worker.yaml: no
// environment and no --set reach it.
type Document struct{ doc *document }

// LoadDocument reads a YAML file. The error is an *Errors. What does not keep
// the file from being read, such as a repeated key, is reported by Decode.
func LoadDocument(path string) (*Document, error) {
	doc, err := parseFile(path)
	if err != nil {
		return nil, err
	}
	return &Document{doc}, nil
}

// ParseDocument reads the text of a YAML file that is not on disk, with the name it
// has in messages. The error is an *Errors.
func ParseDocument(name string, text []byte) (*Document, error) {
	doc, err := parseText(name, text)
	if err != nil {
		return nil, err
	}
	return &Document{doc}, nil
}

// Path returns the path the document was loaded from, as it was given.
func (d *Document) Path() string { return d.doc.places.origin.Name }

// Where is Tree.Where for a document.
func (d *Document) Where(path string) string { return where(d.doc.places, path) }

// Decode fills into, a pointer to a struct that holds the defaults, and
// returns every problem. The top-level keys named in other belong to somebody
// else: they must be groups, and are read with Section.
func (d *Document) Decode(into any, other ...string) []Problem {
	problems := slices.Clone(d.doc.problems)
	problems = append(problems, d.Problems("", settings.Decode(d.doc.tree, into, other...))...)
	for _, key := range other {
		value, ok := d.doc.tree[key]
		if _, isTree := value.(map[string]any); ok && value != nil && !isTree {
			problems = append(problems, d.Problems("", []settings.Problem{{Path: key, Message: notGroup}})...)
			continue
		}
		_, odd := portable(key, value)
		problems = append(problems, d.Problems("", odd)...)
	}
	return sorted(problems)
}

// Section returns the settings below a top-level key, and whether it is there. It is
// ready for json.Marshal: a number that JSON cannot hold (0660, 1_000) is left
// out, and reported by Decode when the key is among the others. The caller may
// change the map.
func (d *Document) Section(key string) (map[string]any, bool) {
	value, ok := d.doc.tree[key]
	if !ok {
		return nil, false
	}
	copied, _ := portable(key, value)
	if tree, isTree := copied.(map[string]any); isTree {
		return tree, true
	}
	return map[string]any{}, true
}

// Problems adds the place to problems found below prefix by somebody else: a
// plugin's problem at "pool.max_workers", with the prefix "php", gets the line of
// php.pool.max_workers, or that of the nearest parent that was written.
func (d *Document) Problems(prefix string, problems []settings.Problem) []Problem {
	return sorted(located(d.doc.places, prefix, problems))
}

// portable copies a value without the numbers that JSON cannot hold, and says
// which these are.
func portable(path string, value any) (any, []settings.Problem) {
	var odd []settings.Problem
	switch v := value.(type) {
	case json.Number:
		if !json.Valid([]byte(v)) {
			return nil, []settings.Problem{{Path: path, Message: v.String() +
				" is not a plain number; write it in decimal digits, or in quotes if it is text: \"" + v.String() + "\""}}
		}
	case []any:
		list := []any{}
		for i, entry := range v {
			copied, problems := portable(settings.Index(path, i), entry)
			list, odd = append(list, copied), append(odd, problems...)
		}
		return list, odd
	case map[string]any:
		tree := map[string]any{}
		for key, entry := range v {
			copied, problems := portable(settings.Join(path, key), entry)
			if odd = append(odd, problems...); copied != nil || entry == nil {
				tree[key] = copied
			}
		}
		return tree, odd
	}
	return value, odd
}
