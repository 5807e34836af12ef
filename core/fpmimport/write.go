package fpmimport

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Write writes the files below folder, or none when one of them is there.
func (r *Result) Write(folder string) error {
	var there []error
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		if _, err := os.Lstat(filepath.Join(folder, name)); !errors.Is(err, fs.ErrNotExist) {
			there = append(there, fmt.Errorf("%s is there already; remove it, or choose another --out", filepath.Join(folder, name)))
		}
	}
	if len(there) > 0 {
		return errors.Join(there...)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if filepath.Base(name) == "worker.yaml" || name == r.Report {
			mode = 0o640 // env[] and php_admin_value[] may hold secrets
		}
		if err := os.WriteFile(path, r.Files[name], mode); err != nil {
			return err
		}
	}
	return nil
}
