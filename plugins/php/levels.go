package php

import "regexp"

// Levels of errors, as people write error_reporting: E_ALL & ~(E_NOTICE | E_DEPRECATED).
const (
	errorLevel = `[~! \t]*(?:[0-9]+|E_(?:ALL|STRICT|(?:(?:CORE|COMPILE|USER)_)?(?:ERROR|WARNING)|RECOVERABLE_ERROR|PARSE|(?:USER_)?(?:NOTICE|DEPRECATED)))[ \t]*`
	joined     = errorLevel + `(?:[|&^]` + errorLevel + `)*`
)

var (
	levels = regexp.MustCompile(`^` + joined + `$`)
	inner  = regexp.MustCompile(`\(` + joined + `\)`)
	number = regexp.MustCompile(`^(?:-?[0-9]+)?$`)
)

// isLevels says whether s is an expression of such levels.
func isLevels(s string) bool {
	for before := ""; before != s; {
		before, s = s, inner.ReplaceAllString(s, "0")
	}
	return levels.MatchString(s)
}

// valueOf writes a setting's value. PHP works levels out only where they stand bare, and
// as its version has them (E_ALL is another number since 8.4): quoted they are 0. The
// option -d quotes itself what begins with no letter or digit (sapi/cgi/cgi_main.c).
func valueOf(name, value string) string {
	if name == "error_reporting" && isLevels(value) {
		return "0|" + value
	}
	return quote(value)
}
