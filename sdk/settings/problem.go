package settings

import (
	"regexp"
	"strconv"
	"strings"
)

// Problem is one thing wrong with a setting. It converts to sdk.Problem.
type Problem struct {
	// Path of the setting as Join and Index build it; empty for the whole.
	Path string
	// Message says what is wrong and what to do, in lower case, without a period.
	Message string
}

// Join returns the path of key below path. A key with other characters than
// letters, digits, - and _ is quoted: env["a.b"].
func Join(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// Index returns the path of entry i, counted from 0, of the list at path.
func Index(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

// Under returns the path of a problem found below prefix.
func Under(prefix, path string) string {
	if prefix == "" || path == "" || path[0] == '[' {
		return prefix + path
	}
	return prefix + "." + path
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Nearest returns the element of known that key was most likely meant to be,
// empty when none comes near.
func Nearest(key string, known []string) string {
	folded := strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	best, bound := "", 1+len(folded)/4
	if len(folded) > 64 { // a distance is quadratic work, and no key is that long
		return ""
	}
	for _, k := range known {
		if d := distance(folded, k); d <= bound && d < len(k) {
			best, bound = k, d-1
		}
	}
	return best
}

// distance counts the letters to insert, drop, replace or swap with their
// neighbour (optimal string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
