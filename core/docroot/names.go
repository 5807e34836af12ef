package docroot

import "strings"

// showable says whether a file of this name may be sent as it is. It may not
// when it looks like PHP source or like settings with passwords in them, in
// any case, also behind the suffixes that editors, patch tools and people in a
// hurry leave: wp-config.php~, config.php.bak, db.inc.old, settings.PHP.
// docs/guide/workers.md tells users.
func (r *Root) showable(name string) bool {
	name = name[strings.LastIndexByte(name, '/')+1:]
	if r.script(name) {
		return false
	}
	for {
		// Trailing dots and spaces are what other systems drop from a name,
		// and so what an archive from there can bring.
		name = strings.TrimRight(name, "~#. ")
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			return true
		}
		ext := lower(name[dot+1:])
		switch {
		case strings.HasPrefix(ext, "php"): // php5, phps, phpt, php_old
			return false
		case ext == "phtml", ext == "pht", ext == "phar":
			return false
		case ext == "inc": // PHP source by old custom
			return false
		case ext == "ini", ext == "env": // settings, with passwords
			return false
		case ext == "sql", ext == "sqlite", ext == "sqlite3": // the data itself
			return false
		case !backup(ext):
			return true
		}
		name = name[:dot]
	}
}

// backup says whether ext marks a copy of the file that is named before it.
func backup(ext string) bool {
	switch ext {
	case "bak", "backup", "old", "orig", "save", "swp", "swo", "tmp", "copy", "dist", "rej":
		return true
	}
	return strings.Trim(ext, "0123456789") == "" // rotated: .1
}

// lower folds A-Z and nothing else.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for i, c := range b {
				if c >= 'A' && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
