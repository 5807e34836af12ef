package contestant

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WikiTitle stands on every page of the wiki.
const WikiTitle = "Wiki of the benchmark"

// installWiki makes Debian's dokuwiki, a real application, part of the site,
// with data of its own.
func (s *Site) installWiki() error {
	wiki := filepath.Join(s.Public, "wiki")
	for from, to := range map[string]string{
		s.Tools[Dokuwiki]: wiki, "/etc/dokuwiki": filepath.Join(s.Dir, "wiki/conf"), "/var/lib/dokuwiki/data": filepath.Join(s.Dir, "wiki/data"),
	} {
		if err := copyTree(from, to); err != nil {
			return err
		}
	}
	// Debian's preload.php names its own folders unless they are set before.
	preload := filepath.Join(wiki, "inc/preload.php")
	if err := os.Rename(preload, filepath.Join(wiki, "inc/preload-debian.php")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	conf := filepath.Join(s.Dir, "wiki/conf")
	err := writeFile(preload, fmt.Sprintf(`<?php
if (!defined('DOKU_MAIN_CONF')) define('DOKU_MAIN_CONF', '%[1]s/');
if (!defined('DOKU_CONF')) define('DOKU_CONF', '%[1]s/');
if (is_file(__DIR__ . '/preload-debian.php')) include __DIR__ . '/preload-debian.php';
`, conf))
	return errors.Join(err,
		writeFile(filepath.Join(conf, "local.php"), fmt.Sprintf("<?php\n$conf['title'] = '%s';\n$conf['useacl'] = 0;\n$conf['savedir'] = '%s/wiki/data';\n"+
			"$conf['updatecheck'] = 0;\n", WikiTitle, s.Dir)),
		writeFile(filepath.Join(conf, "users.auth.php"), "# <?php exit()?>\n"),
		writeFile(filepath.Join(conf, "acl.auth.php"), "# <?php exit()?>\n*\t@ALL\t8\n"))
}

// copyTree copies a folder; what symlinks lead to is copied too, but links that
// lead nowhere are not.
func copyTree(from, to string) error {
	info, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return copyFile(from, to)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyTree(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
