package conf

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Folder holds configuration files that are not on this machine's disk. Its files
// have the same form, may include each other, and are told in the same words.
type Folder struct {
	// Name stands before the files' names in messages: "etcd://host:2379/tq". It
	// has a scheme, which is the layer of what is set there.
	Name string
	// Main is the file that is read where Name is given among Options.Files.
	Main string
	// Files are the texts, by names relative to the folder.
	Files map[string][]byte
	// Missing says what to do when a file is not there; "%s" is its name.
	Missing string
}

// file returns the name of a file as messages have it.
func (f *Folder) file(name string) string { return f.Name + "/" + name }

// remote returns the folder that holds a file, and the file's name in it; nil for
// one on disk.
func (r *reader) remote(file string) (folder *Folder, name string) {
	for i := range r.folders {
		f := &r.folders[i]
		if file == f.Name {
			return f, f.Main
		}
		if name, ok := strings.CutPrefix(file, f.Name+"/"); ok {
			return f, name
		}
	}
	return nil, ""
}

// parse reads a file of the folder.
func (f *Folder) parse(name string) (*document, error) {
	text, ok := f.Files[name]
	if !ok {
		message := "is not there"
		if f.Missing != "" {
			message += fmt.Sprintf("; "+f.Missing, name)
		}
		return nil, &Errors{[]Problem{{Origin: Origin{Name: f.file(name)}, Message: message}}}
	}
	return parseText(f.file(name), text)
}

// match is reader.match in the folder of the file that includes; an absolute
// pattern is of this machine's disk.
func (f *Folder) match(from, pattern string) ([]string, error) {
	pattern = path.Join(path.Dir(from), pattern)
	if pattern == ".." || strings.HasPrefix(pattern, "../") {
		return nil, fmt.Errorf("leads out of %s; name what stands below it", f.Name)
	}
	if !strings.ContainsAny(pattern, `*?[\`) {
		return []string{f.file(pattern)}, nil
	}
	hidden := strings.HasPrefix(path.Base(pattern), ".")
	var found []string
	for _, name := range slices.Sorted(maps.Keys(f.Files)) {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, errBadPattern
		}
		if ok && (hidden || !strings.HasPrefix(path.Base(name), ".")) {
			found = append(found, f.file(name))
		}
	}
	return found, nil
}

var errBadPattern = errors.New("is not a pattern; [ opens a class of characters, and needs a ]")

// unread tells of files of folders that nothing has read: there, other than on a
// disk, nobody would see that a name is misspelt.
func (r *reader) unread() {
	if len(r.problems) > 0 {
		return // what could not be read may name them
	}
	for i := range r.folders {
		f := &r.folders[i]
		for _, name := range slices.Sorted(maps.Keys(f.Files)) {
			if _, ok := r.named[f.file(name)]; !ok {
				message := fmt.Sprintf("nothing reads this; name it in the include of %s, or remove it", f.Main)
				r.idle = append(r.idle, Problem{Origin: Origin{Name: f.file(name)}, Message: message})
			}
		}
	}
}

// realPath is what makes two names the same file.
func (r *reader) realPath(file string) (string, error) {
	if folder, name := r.remote(file); folder != nil {
		return folder.file(name), nil
	}
	real, err := filepath.EvalSymlinks(file)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	return real, err
}
