package cgi

import "strings"

// Fold returns params without those that PHP would take for another one: PHP
// turns `.`, space and `[` in a name into `_`, and the first of such aliases
// wins there, so a client could set what a web server meant to set itself
// (GHSA-f59h-q822-g45g). After Fold:
//   - each name stands once, with the last value it had;
//   - a name with `.`, space or `[` gives way to its canonical spelling; without
//     one it is renamed, unless it would become an HTTP_ name, which comes from
//     a client's header, or begins with a space: then it is dropped;
//   - HTTP_PROXY is gone (httpoxy, CVE-2016-5385).
//
// The order stays. When there is nothing to do params itself is returned and
// nothing is allocated; otherwise params is rewritten in place.
func Fold(params []Param) []Param {
	if !needsFold(params) {
		return params
	}
	// Aliases are renamed first, and marked by being worth less than a
	// canonical spelling of the same name.
	last := make(map[string]int, len(params))
	alias := make([]bool, len(params))
	for i := range params {
		name := params[i].Name
		if strings.ContainsAny(name, aliasBytes) {
			if name[0] == ' ' {
				continue
			}
			name = foldName(name)
			if strings.HasPrefix(name, "HTTP_") {
				continue
			}
			alias[i] = true
			params[i].Name = name
		}
		if name == "" || name == "HTTP_PROXY" {
			continue
		}
		if j, ok := last[name]; !ok || alias[j] || !alias[i] {
			last[name] = i
		}
	}
	kept := params[:0]
	for i := range params {
		if j, ok := last[params[i].Name]; ok && j == i {
			kept = append(kept, params[i])
		}
	}
	clear(params[len(kept):])
	return kept
}

const aliasBytes = ". ["

func foldName(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c == '.' || c == ' ' || c == '[' {
			b[i] = '_'
		}
	}
	return string(b)
}

// needsFold errs on the side of yes. A set of small hashes finds nearly all
// lists without a repeated name; the rest is compared.
func needsFold(params []Param) bool {
	var seen [8]uint64
	for i := range params {
		name := params[i].Name
		if name == "" || name == "HTTP_PROXY" {
			return true
		}
		h := uint32(len(name))
		for j := 0; j < len(name); j++ {
			c := name[j]
			if c == '.' || c == ' ' || c == '[' {
				return true
			}
			h = h*31 + uint32(c)
		}
		h ^= h >> 16
		word, bit := h>>6&7, uint64(1)<<(h&63)
		if seen[word]&bit != 0 {
			for j := range i {
				if params[j].Name == name {
					return true
				}
			}
		}
		seen[word] |= bit
	}
	return false
}
