package php

import "strings"

// quote writes s so that PHP's ini parser reads exactly s: single quotes take
// every byte as it is, ${…} among them, and a single quote stands in double
// ones (Zend/zend_ini_scanner.l). NUL and newlines cannot be written.
func quote(s string) string {
	if s == "" {
		return `""` // '' is not read as an empty string
	}
	var b strings.Builder
	for i, part := range strings.Split(s, "'") {
		if i > 0 {
			b.WriteString(`"'"`)
		}
		if part != "" {
			b.WriteString("'" + part + "'")
		}
	}
	return b.String()
}

// quotable says whether quote can write s. A trailing backslash in a section
// name is lost (main/php_ini.c trims slashes), which quote cannot help.
func quotable(s string) bool { return !strings.ContainsAny(s, "\x00\r\n") }
