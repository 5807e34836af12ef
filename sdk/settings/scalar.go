package settings

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var plainInt = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// numberText returns what the user wrote for a number. A json.Number carries
// it; YAML's 0660 comes as json.Number("0660").
func numberText(v any) (string, bool) {
	switch n := v.(type) {
	case json.Number:
		return n.String(), true
	case float64:
		return strconv.FormatFloat(n, 'f', -1, 64), true
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32:
		return fmt.Sprint(n), true
	}
	return "", false
}

// show returns a value as it stands in a message, cut to a readable length.
func show(v any) string {
	if text, ok := numberText(v); ok {
		return cut(text)
	}
	switch v := v.(type) {
	case string:
		return strconv.Quote(cut(v))
	case bool:
		return strconv.FormatBool(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a group of settings"
	}
	return fmt.Sprintf("a %T", v)
}

func cut(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

// kind names a value that should have been something else.
func kind(v any) string {
	if _, ok := numberText(v); ok {
		return "a number"
	}
	switch v.(type) {
	case string:
		return "text"
	case bool:
		return "true or false"
	}
	return show(v)
}

// setText sets a field whose type is a scalar written as text with a meaning of
// its own. The error completes a sentence that begins with the value.
func setText(src any, dst reflect.Value) error {
	text, isText := src.(string)
	number, isNumber := numberText(src)
	if !isText && !isNumber {
		return errors.New("is not what belongs here; write it as text")
	}
	switch dst.Type() {
	case reflect.TypeFor[time.Duration]():
		d, err := parseDuration(text + number)
		if err == nil {
			dst.SetInt(int64(d))
		}
		return err
	case reflect.TypeFor[Bytes]():
		text += strings.ReplaceAll(number, "_", "")
	default:
		if isNumber {
			return needsQuotes(number)
		}
	}
	target := reflect.New(dst.Type()) // untouched on failure
	if err := target.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		return err
	}
	dst.Set(target.Elem())
	return nil
}

func setString(src any, dst reflect.Value, enum []string) error {
	text, ok := src.(string)
	if !ok {
		if number, isNumber := numberText(src); isNumber {
			return needsQuotes(number)
		}
		if b, isBool := src.(bool); isBool {
			return fmt.Errorf("is true or false, not text; put it in quotes: %q", strconv.FormatBool(b))
		}
		return fmt.Errorf("cannot stand here; write text")
	}
	if len(enum) > 0 && !slices.Contains(enum, text) {
		if near := Nearest(text, enum); near != "" {
			return fmt.Errorf("is not known; did you mean %s?", near)
		}
		return fmt.Errorf("is not known; write one of %s", strings.Join(enum, ", "))
	}
	dst.SetString(text)
	return nil
}

func needsQuotes(number string) error {
	return fmt.Errorf("is a number, not text; put it in quotes: %q", number)
}

func setBool(src any, dst reflect.Value) error {
	b, ok := src.(bool)
	if !ok {
		word, _ := src.(string)
		switch strings.ToLower(word) {
		case "true", "false":
			return fmt.Errorf("is text, not true or false; write %s without quotes", strings.ToLower(word))
		case "yes", "on", "y":
			return errors.New("is not true or false; write true")
		case "no", "off", "n":
			return errors.New("is not true or false; write false")
		}
		return errors.New("is not true or false")
	}
	dst.SetBool(b)
	return nil
}

func setInt(src any, dst reflect.Value) error {
	number, ok := numberText(src)
	if !ok {
		if text, isText := src.(string); isText && plainInt.MatchString(text) {
			return fmt.Errorf("is text, not a number; write %s without quotes", text)
		}
		return errors.New("is not a whole number")
	}
	if !plainInt.MatchString(number) {
		value, err := strconv.ParseInt(number, 0, 64)
		if err != nil {
			return errors.New("is not a whole number in digits")
		}
		if number[0] == '0' { // 0660, 0o660, 0x1f
			return fmt.Errorf("is not a decimal number and would be read as %d; write it in decimal, without the leading zero", value)
		}
		return fmt.Errorf("is not in plain digits; write %d", value)
	}
	if dst.CanInt() {
		n, err := strconv.ParseInt(number, 10, dst.Type().Bits())
		if err != nil {
			return errors.New("is out of range")
		}
		dst.SetInt(n)
		return nil
	}
	if number[0] == '-' {
		return errors.New("must not be negative")
	}
	n, err := strconv.ParseUint(number, 10, dst.Type().Bits())
	if err != nil {
		return errors.New("is out of range")
	}
	dst.SetUint(n)
	return nil
}
