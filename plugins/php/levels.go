package php

import (
	"regexp"
	"strings"
)

// Levels of errors, as people write error_reporting: E_ALL & ~(E_NOTICE | E_DEPRECATED).
// A NUL, which no setting can have, stands for what was in parentheses.
const (
	errorLevel = `[~! \t]*(?:-?[0-9]+|\x00|E_(?:ALL|STRICT|(?:(?:CORE|COMPILE|USER)_)?(?:ERROR|WARNING)|RECOVERABLE_ERROR|PARSE|(?:USER_)?(?:NOTICE|DEPRECATED)))[ \t]*`
	joined     = errorLevel + `(?:[|&^]` + errorLevel + `)*`
)

var (
	levels = regexp.MustCompile(`^` + joined + `$`)
	inner  = regexp.MustCompile(`\(` + joined + `\)`)
	number = regexp.MustCompile(`^(?:-?[0-9]+)?$`)
)

// isLevels says whether s is an expression with such levels. It takes nothing that PHP
// could not parse: what stands behind a syntax error is lost.
func isLevels(s string) bool {
	if !strings.Contains(s, "E_") || !quotable(s) {
		return false
	}
	for before := ""; before != s; {
		before, s = s, inner.ReplaceAllString(s, "\x00")
	}
	return levels.MatchString(s)
}

// valueOf writes a setting's value. PHP works levels out only where they stand bare, and
// as its version has them (E_ALL is another number since 8.4): quoted they are 0. The
// option -d quotes itself what begins with no letter or digit (sapi/cgi/cgi_main.c).
func valueOf(value string) string {
	if isLevels(value) {
		return "0|" + value
	}
	return quote(value)
}
