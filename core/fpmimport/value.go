package fpmimport

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// lookup finds an environment variable, as os.LookupEnv.
type lookup func(name string) (string, bool)

// variable is ${NAME}, or ${NAME:-default} since PHP 8.3.
var variable = regexp.MustCompile(`\$\{([^}:]+)(?::-([^}]*))?\}`)

// parseValue reads what stands behind the equals sign as PHP's INI scanner does:
// quoted and bare parts one after the other, a comment behind a bare part.
func parseValue(text string, env lookup) (string, error) {
	var out strings.Builder
	rest, quoted := strings.TrimSpace(text), false
	for rest != "" {
		switch rest[0] {
		case '"':
			part, after, err := doubleQuoted(rest[1:])
			if err != nil {
				return "", err
			}
			expanded, err := expand(part, env)
			if err != nil {
				return "", err
			}
			out.WriteString(expanded)
			rest, quoted = strings.TrimLeft(after, " \t"), true
		case '\'':
			end := strings.IndexByte(rest[1:], '\'')
			if end < 0 {
				return "", errors.New("the single quote has no end")
			}
			out.WriteString(rest[1 : 1+end])
			rest, quoted = strings.TrimLeft(rest[end+2:], " \t"), true
		case ';':
			rest = ""
		default:
			part := rest
			if i := strings.IndexAny(rest, `"';`); i >= 0 {
				part = rest[:i]
			}
			rest = rest[len(part):]
			expanded, err := expand(strings.TrimRight(part, " \t"), env)
			if err != nil {
				return "", err
			}
			out.WriteString(expanded)
		}
	}
	if quoted {
		return out.String(), nil
	}
	return bare(out.String()), nil
}

func doubleQuoted(text string) (part, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], nil
		case c == '\\' && i+1 < len(text) && strings.IndexByte(`"\'`, text[i+1]) >= 0:
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("the double quote has no end")
}

// expand replaces ${NAME}.
func expand(text string, env lookup) (string, error) {
	var missing error
	out := variable.ReplaceAllStringFunc(text, func(ref string) string {
		m := variable.FindStringSubmatch(ref)
		if value, ok := env(m[1]); ok && value != "" {
			return value
		}
		if strings.Contains(ref, ":-") {
			return m[2]
		}
		missing = fmt.Errorf("${%s} is not set here; set it and import again", m[1])
		return ""
	})
	return out, missing
}

// bare is a value without quotes: words that mean a boolean. PHP's constants
// (E_ALL & ~E_NOTICE) stay, since their numbers are of its version.
func bare(text string) string {
	switch strings.ToLower(text) {
	case "on", "yes", "true":
		return "1"
	case "off", "no", "false", "none", "null":
		return ""
	}
	return text
}
