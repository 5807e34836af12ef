package fpmimport

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
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

// bare is a value without quotes: words that mean a boolean, and expressions of
// PHP's constants (E_ALL & ~E_NOTICE), which the scanner works out.
func bare(text string) string {
	switch strings.ToLower(text) {
	case "on", "yes", "true":
		return "1"
	case "off", "no", "false", "none", "null":
		return ""
	}
	if n, ok := evaluate(text); ok {
		return strconv.FormatInt(n, 10)
	}
	return text
}

// constants are the levels of errors (Zend/zend_errors.h), E_ALL as up to PHP 8.3;
// later ones lack E_STRICT, which nothing raises.
func constants() map[string]int64 {
	return map[string]int64{
		"E_ERROR": 1, "E_WARNING": 2, "E_PARSE": 4, "E_NOTICE": 8, "E_CORE_ERROR": 16, "E_CORE_WARNING": 32,
		"E_COMPILE_ERROR": 64, "E_COMPILE_WARNING": 128, "E_USER_ERROR": 256, "E_USER_WARNING": 512, "E_USER_NOTICE": 1024,
		"E_STRICT": 2048, "E_RECOVERABLE_ERROR": 4096, "E_DEPRECATED": 8192, "E_USER_DEPRECATED": 16384, "E_ALL": 32767,
	}
}

var token = regexp.MustCompile(`^\s*(E_[A-Z_]+|[0-9]+|[|&^~!()])`)

// evaluate works out an expression with a constant in it. As in PHP's grammar
// the operators | & ^ bind alike, from the left.
func evaluate(text string) (int64, bool) {
	if !strings.Contains(text, "E_") {
		return 0, false
	}
	e := &expression{rest: text}
	n := e.operation()
	return n, !e.bad && strings.TrimSpace(e.rest) == ""
}

type expression struct {
	rest string
	bad  bool
}

func (e *expression) next() string {
	m := token.FindStringSubmatch(e.rest)
	if m == nil {
		return ""
	}
	e.rest = e.rest[len(m[0]):]
	return m[1]
}

func (e *expression) operation() int64 {
	n := e.operand()
	for {
		before := e.rest
		switch e.next() {
		case "|":
			n |= e.operand()
		case "&":
			n &= e.operand()
		case "^":
			n ^= e.operand()
		default:
			e.rest = before
			return n
		}
	}
}

func (e *expression) operand() int64 {
	switch t := e.next(); t {
	case "~":
		return ^e.operand()
	case "!":
		if e.operand() == 0 {
			return 1
		}
		return 0
	case "(":
		n := e.operation()
		e.bad = e.bad || e.next() != ")"
		return n
	default:
		if n, ok := constants()[t]; ok {
			return n
		}
		n, err := strconv.ParseInt(t, 10, 64)
		e.bad = e.bad || err != nil
		return n
	}
}
