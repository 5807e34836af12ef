package fpmimport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// node is a setting of a configuration that is being written; keys stay in the
// order in which they were set.
type node struct {
	key     string
	value   any // string, bare, int, []string; nil for a group
	comment string
	below   []*node
}

// bareText needs no quotes: it is a number with its unit, a word of ours.
type bareText string

// child returns the member with the key, nil when there is none.
func (n *node) child(key string) *node {
	for _, b := range n.below {
		if b.key == key {
			return b
		}
	}
	return nil
}

// set sets the value at path, below groups that are made as needed.
func (n *node) set(path []string, value any, comment string) {
	at := n
	for _, key := range path {
		next := at.child(key)
		if next == nil {
			next = &node{key: key}
			at.below = append(at.below, next)
		}
		at = next
	}
	at.value, at.comment = value, comment
}

// remove takes the setting at path out, and groups that it leaves empty.
func (n *node) remove(path ...string) {
	chain := []*node{n}
	for _, key := range path {
		next := chain[len(chain)-1].child(key)
		if next == nil {
			return
		}
		chain = append(chain, next)
	}
	for i := len(chain) - 1; i > 0 && len(chain[i].below) == 0; i-- {
		chain[i-1].below = slices.DeleteFunc(chain[i-1].below, func(o *node) bool { return o == chain[i] })
	}
}

// get returns the node at path, nil when there is none.
func (n *node) get(path ...string) *node {
	at := n
	for _, key := range path {
		if at = at.child(key); at == nil {
			return nil
		}
	}
	return at
}

// tree is the node as JSON has it.
func (n *node) tree() any {
	if n.below == nil {
		return n.value
	}
	out := map[string]any{}
	for _, b := range n.below {
		out[b.key] = b.tree()
	}
	return out
}

func (n *node) write(b *bytes.Buffer, indent string) {
	for _, c := range n.below {
		fmt.Fprintf(b, "%s%s:", indent, yamlKey(c.key))
		if c.below == nil && c.value != nil {
			b.WriteString(" " + yamlValue(c.value))
		}
		if c.comment != "" {
			b.WriteString("   # " + c.comment)
		}
		b.WriteString("\n")
		c.write(b, indent+"  ")
	}
}

// plainKey is one that YAML takes for text as it stands.
var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

func yamlKey(key string) string {
	switch strings.ToLower(key) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return quote(key)
	}
	if plainKey.MatchString(key) {
		return key
	}
	return quote(key)
}

func yamlValue(value any) string {
	switch v := value.(type) {
	case string:
		return quote(v)
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(value)
}

// quote writes text as JSON, which YAML reads.
func quote(text string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(text) != nil { // which takes every string
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}
