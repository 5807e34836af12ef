package fpmimport

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// interpreter finds the php-cgi and the php.ini that belong to a pool of Debian's.
func (p *pool) interpreter(file string) (notes []string) {
	m := debianPath.FindStringSubmatchIndex(file)
	if m == nil {
		return nil
	}
	version, folder := file[m[2]:m[3]], file[:m[1]]
	if binary, err := exec.LookPath("php-cgi" + version); err == nil {
		p.write("php.binary", binary, "")
	} else {
		notes = append(notes, fmt.Sprintf("%s: there is no php-cgi%s; install php%s-cgi and write php.binary, else the newest php-cgi on PATH runs the scripts", file, version, version))
	}
	if ini := filepath.Join(folder, "php.ini"); isFile(ini) {
		p.write("php.config_file", ini, "")
	}
	here, cgi := names(filepath.Join(folder, "conf.d")), names(filepath.Join(filepath.Dir(filepath.Clean(folder)), "cgi", "conf.d"))
	for _, name := range here {
		if !slices.Contains(cgi, name) {
			notes = append(notes, fmt.Sprintf("%s: PHP-FPM reads %sconf.d/%s, php-cgi has no such file in its conf.d; enable the extension for it (phpenmod -s cgi)", file, folder, name))
		}
	}
	return notes
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func names(folder string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	all := make([]string, len(entries))
	for i, e := range entries {
		all[i] = e.Name()
	}
	return all
}
