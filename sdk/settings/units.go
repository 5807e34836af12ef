package settings

import (
	"errors"
	"io/fs"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size. It is written with a unit: "64MiB", "512kB", "100B"; zero
// needs none.
type Bytes int64

// FileMode is the permission bits of a file or socket, written as a quoted
// octal number with a leading zero: "0660".
type FileMode fs.FileMode

// unit is one way to write a size; the first that divides it evenly prints it.
type unit struct {
	name string
	size int64
}

func units() []unit {
	return []unit{
		{"TB", 1e12},
		{"TiB", 1 << 40},
		{"GB", 1e9},
		{"GiB", 1 << 30},
		{"MB", 1e6},
		{"MiB", 1 << 20},
		{"kB", 1e3},
		{"KiB", 1 << 10},
		{"B", 1},
	}
}

var (
	sizePattern     = regexp.MustCompile(`^([0-9]+) ?([A-Za-z]*)$`)
	modePattern     = regexp.MustCompile(`^0[0-7]{3}$`)
	durationPattern = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`)
	digits          = regexp.MustCompile(`^[0-9][0-9_]*$`)
)

// String returns the size in the largest unit that holds it evenly.
func (b Bytes) String() string {
	if b == 0 {
		return "0"
	}
	for _, u := range units() {
		if int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return "" // not reached: everything divides by 1
}

// MarshalText writes the size as String does.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what String writes, and any of the units B, kB, KiB, MB,
// MiB, GB, GiB, TB, TiB.
func (b *Bytes) UnmarshalText(text []byte) error {
	m := sizePattern.FindStringSubmatch(string(text))
	if m == nil {
		return errors.New("is not a size; write a whole number with a unit: 64MiB, 512kB")
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return errors.New("is too large")
	}
	if m[2] == "" && n == 0 {
		*b = 0
		return nil
	}
	if m[2] == "" {
		return errors.New("has no unit; write " + m[1] + "MiB")
	}
	for _, u := range units() {
		if u.name == m[2] {
			if n > math.MaxInt64/u.size {
				return errors.New("is too large")
			}
			*b = Bytes(n * u.size)
			return nil
		}
	}
	for _, u := range units() {
		if u.size > 1 && strings.EqualFold(u.name, m[2]) {
			return errors.New("has an unknown unit; write " + m[1] + u.name)
		}
	}
	if strings.ContainsAny(m[2][:1], "kKmMgGtT") && len(m[2]) == 1 {
		return errors.New("has an unknown unit; write " + m[1] + strings.ToUpper(m[2]) + "iB")
	}
	return errors.New("has an unknown unit; the units are B, kB, KiB, MB, MiB, GB, GiB, TB, TiB")
}

// Mode returns the mode as package os wants it.
func (m FileMode) Mode() fs.FileMode { return fs.FileMode(m) }

// String returns the mode as it is written: 0660.
func (m FileMode) String() string {
	text := strconv.FormatUint(uint64(m), 8)
	return strings.Repeat("0", max(0, 4-len(text))) + text
}

// MarshalText writes the mode as String does.
func (m FileMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads a mode such as 0660: permission bits only, no set-user-ID
// and the like.
func (m *FileMode) UnmarshalText(text []byte) error {
	if !modePattern.Match(text) {
		return errors.New(`is not a file mode; write four octal digits in quotes: "0660"`)
	}
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil {
		return errors.New("is too large")
	}
	*m = FileMode(n)
	return nil
}

// parseDuration reads "10s", "1m30s" and "0".
func parseDuration(text string) (time.Duration, error) {
	if strings.Trim(text, "0") == "" && text != "" {
		return 0, nil
	}
	if digits.MatchString(text) {
		return 0, errors.New("has no unit; write " + strings.ReplaceAll(text, "_", "") + "s")
	}
	if !durationPattern.MatchString(text) {
		if strings.HasPrefix(text, "-") {
			return 0, errors.New("must not be negative")
		}
		return 0, errors.New("is not a duration; write a number with a unit: 10s, 500ms, 5m, 1h30m")
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("is too large")
	}
	return d, nil
}
