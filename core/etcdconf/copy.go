package etcdconf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// saved is the form of the copy.
type saved struct {
	Source string            `json:"source"`
	Files  map[string]string `json:"files"`
}

// Save writes the files to the source's copy, if it has one: what a server served by
// last, for a start while etcd is away. Only its user may read it.
func (s *Source) Save(files Files) error {
	if s.copyFile == "" {
		return nil
	}
	content := saved{Source: s.Name(), Files: map[string]string{}}
	for name, text := range files {
		content.Files[name] = string(text)
	}
	text, err := json.MarshalIndent(content, "", " ")
	if err != nil {
		return fmt.Errorf("%s: copy: %w", s.Name(), err)
	}
	// Whole or not at all. CreateTemp gives mode 0600.
	f, err := os.CreateTemp(filepath.Dir(s.copyFile), filepath.Base(s.copyFile)+".*")
	if err != nil {
		return fmt.Errorf("%s: copy: %w", s.Name(), err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.copyFile)
	}
	if err != nil {
		return fmt.Errorf("%s: copy: %w", s.Name(), errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// Saved reads the copy; found is false when there is none.
func (s *Source) Saved() (files Files, found bool, err error) {
	if s.copyFile == "" {
		return nil, false, nil
	}
	text, err := os.ReadFile(s.copyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	var content saved
	if err == nil {
		err = json.Unmarshal(text, &content)
	}
	if err == nil && content.Source != s.Name() {
		err = fmt.Errorf("%s is of %s", s.copyFile, content.Source)
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: copy: %w", s.Name(), err)
	}
	files = Files{}
	for name, text := range content.Files {
		files[name] = []byte(text)
	}
	return files, true, nil
}
