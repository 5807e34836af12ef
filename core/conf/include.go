package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/sdk/settings"
)

const (
	// includeKey is the key of a file that names more files.
	includeKey = "include"
	includeDoc = "Files that are read after this one and override it: names or patterns (conf.d/*.yaml), relative to this file."
	// maxFiles bounds how many files one configuration is read from.
	maxFiles = 1000
)

// reader reads files and what they include.
type reader struct {
	folders  []Folder
	layers   []*document
	problems []Problem         // what cannot be read
	idle     []Problem         // what nothing reads
	named    map[string]Origin // real path of each file read, and where it was named
	watched  []string          // files, and patterns that more files may come to match
}

// readFiles reads files in order, each with what it includes.
func readFiles(files []string, folders []Folder) *reader {
	r := &reader{folders: folders, named: map[string]Origin{}}
	for _, file := range files {
		r.read(file, Origin{}, "", nil)
	}
	r.unread()
	return r
}

// read reads one file, named at origin as the setting path; parents are the real
// paths of the files that it is included from.
func (r *reader) read(file string, origin Origin, path string, parents []string) {
	fail := func(format string, args ...any) {
		r.problems = append(r.problems, Problem{origin, path, fmt.Sprintf(format, args...)})
	}
	folder, name := r.remote(file)
	if folder == nil {
		r.watched = append(r.watched, file)
	}
	real, err := r.realPath(file)
	switch {
	case err != nil && origin == Origin{}:
		r.problems = append(r.problems, Problem{Origin{Name: file}, "", missing(err)})
		return
	case err != nil:
		fail("%s: %s", file, missing(err))
		return
	case slices.Contains(parents, real):
		fail("%s includes itself: %s; take one of these out", file, strings.Join(append(parents[slices.Index(parents, real):], real), " → "))
		return
	}
	if first, ok := r.named[real]; ok {
		where := first.String()
		if where == "" {
			where = "--config"
		}
		fail("%s is read already, named by %s; name it once", file, where)
		return
	}
	if len(r.named) >= maxFiles {
		if len(r.named) == maxFiles {
			fail("more than %d files make one configuration", maxFiles)
		}
		return
	}
	r.named[real] = origin
	var doc *document
	if folder != nil {
		doc, err = folder.parse(name)
	} else {
		doc, err = parseFile(file)
	}
	if err != nil {
		r.problems = append(r.problems, ProblemsOf(err)...)
		return
	}
	r.layers = append(r.layers, doc)
	value, ok := doc.tree[includeKey]
	if !ok {
		return
	}
	delete(doc.tree, includeKey)
	at := doc.places.below[includeKey]
	delete(doc.places.below, includeKey)
	r.include(doc, value, at, append(slices.Clip(parents), real))
}

// include reads what an include: names; a later file overrides an earlier one,
// and the file that includes it.
func (r *reader) include(doc *document, value any, at *place, parents []string) {
	patterns, ok := value.([]any)
	if !ok {
		doc.add(at.origin, includeKey, `must be a list of files or patterns: ["conf.d/*.yaml"]`)
		return
	}
	for i, entry := range patterns {
		path := settings.Index(includeKey, i)
		origin := at.find(settings.Index("", i))
		pattern, ok := entry.(string)
		if !ok || pattern == "" {
			doc.add(origin, path, "must be a file or a pattern: conf.d/*.yaml")
			continue
		}
		files, err := r.match(doc.places.origin.Name, pattern)
		if err != nil {
			doc.add(origin, path, "%s: %v", pattern, err)
		}
		for _, file := range files {
			r.read(file, origin, path, parents)
		}
	}
}

// match returns the files that a pattern means, relative to the file that names it,
// by name. A pattern without meta characters is a file that has to be there; one with may
// match nothing, but its folder has to be there.
func (r *reader) match(from, pattern string) ([]string, error) {
	if !filepath.IsAbs(pattern) {
		if folder, name := r.remote(from); folder != nil {
			return folder.match(name, pattern)
		}
		pattern = filepath.Join(filepath.Dir(from), pattern)
	}
	if !strings.ContainsAny(pattern, `*?[\`) {
		return []string{pattern}, nil
	}
	r.watched = append(r.watched, pattern)
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil, errBadPattern
	}
	if parent := filepath.Dir(pattern); len(found) == 0 && !strings.ContainsAny(parent, `*?[\`) {
		if _, err := filepath.EvalSymlinks(parent); err != nil {
			return nil, fmt.Errorf("the folder %s: %s", parent, missing(err))
		}
	}
	hidden := strings.HasPrefix(filepath.Base(pattern), ".")
	return slices.DeleteFunc(found, func(file string) bool {
		return !hidden && strings.HasPrefix(filepath.Base(file), ".") // an editor's, as a rule
	}), nil
}

// missing is an error without the path, which stands before it.
func missing(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return err.Error()
}
