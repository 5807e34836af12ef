package fpmimport

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// root returns the document root of a pool, and how it was guessed.
func (j *job) root(s *section) (root, why string) {
	for _, name := range []string{s.name, ""} {
		if root := j.options.Roots[name]; root != "" {
			return root, ""
		}
	}
	value := func(name, key string) string {
		for _, l := range slices.Backward(s.lines) {
			if l.name == name && l.key == key {
				return l.value
			}
		}
		return ""
	}
	var guesses [][2]string
	if dir := value("chdir", ""); dir != "/" {
		guesses = append(guesses, [2]string{dir, "its chdir"})
	}
	for _, name := range []string{"php_admin_value", "php_value"} {
		guesses = append(guesses, [2]string{value(name, "doc_root"), "its doc_root"})
		for part := range strings.SplitSeq(value(name, "open_basedir"), ":") {
			if !slices.ContainsFunc([]string{"/tmp", "/var/tmp", "/usr", "/var/lib/php", "/dev", "/proc", "/etc"}, func(other string) bool {
				return part == other || strings.HasPrefix(part, other+"/")
			}) {
				guesses = append(guesses, [2]string{part, "the first folder of its open_basedir"})
			}
		}
	}
	guesses = append(guesses, [2]string{"/var/www", "where Debian's web servers have theirs"})
	for _, g := range guesses {
		if info, err := os.Stat(g[0]); filepath.IsAbs(g[0]) && err == nil && info.IsDir() {
			return filepath.Clean(g[0]), "document_root is " + g[1] + ": " + filepath.Clean(g[0]) + "; say --root " + s.name + "=DIR for another"
		}
	}
	return "/var/www", "no folder was found for document_root: /var/www was written, which is not there; say --root " + s.name + "=DIR"
}
