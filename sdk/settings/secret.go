package settings

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Masked stands where a secret would.
const Masked = "[secret]"

// maxSecret bounds a file that holds a secret; keys and certificates are smaller.
const maxSecret = 64 << 10

// Secret is a value that nobody but its user sees: printed, logged or marshalled
// it is Masked. It is written as itself; as file:/run/secrets/token, whose text is
// read, less one newline at its end; as env:NAME, the server's environment; or as
// text:VALUE, which is VALUE even if that begins with one of these words. The file
// or variable is read when the settings are decoded. Zero is the empty secret.
type Secret struct{ held *heldSecret } // behind a pointer, so that %+v of a private field shows nothing

type heldSecret struct{ value, reference string }

// NewSecret returns the secret value.
func NewSecret(value string) Secret { return Secret{&heldSecret{value: value}} }

// Reveal returns the value itself, for the one place that uses it.
func (s Secret) Reveal() string {
	if s.held == nil {
		return ""
	}
	return s.held.value
}

// Reference returns file:… or env:… as it was written, empty for a value that
// was written out.
func (s Secret) Reference() string {
	if s.held == nil {
		return ""
	}
	return s.held.reference
}

// IsZero says that there is none.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal says that both have one value, wherever it was written.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

// String returns Masked, or nothing when there is no secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return Masked
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// UnmarshalText reads a secret in any of its forms. The error never holds it.
func (s *Secret) UnmarshalText(text []byte) error {
	value, err := Resolve(string(text))
	if err != nil {
		return err
	}
	s.held = &heldSecret{value: value}
	if isReference(string(text)) {
		s.held.reference = string(text)
	}
	return nil
}

// Resolve returns what the text of a secret stands for. The error completes a
// sentence that begins with the setting.
func Resolve(text string) (string, error) {
	if path, ok := strings.CutPrefix(text, "file:"); ok {
		return secretFile(path)
	}
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		value, set := os.LookupEnv(name)
		switch {
		case !set:
			return "", fmt.Errorf("names the environment variable %q, which is not set; set it (a value that itself begins with env: is written text:env:…)", name)
		case value == "":
			return "", fmt.Errorf("names the environment variable %q, which is empty", name)
		}
		return value, nil
	}
	return strings.TrimPrefix(text, "text:"), nil
}

func isReference(text string) bool {
	return strings.HasPrefix(text, "file:") || strings.HasPrefix(text, "env:")
}

func secretFile(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", errors.New("names a file; write its whole path: file:/run/secrets/token (a value that itself begins with file: is written text:file:…)")
	}
	fail := func(err error) (string, error) {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathErr.Err
		}
		return "", fmt.Errorf("names the file %s, which cannot be read: %w", path, err)
	}
	info, err := os.Stat(path) // a pipe would make a start wait without end
	if err != nil {
		return fail(err)
	}
	if !info.Mode().IsRegular() {
		return fail(errors.New("it is not a regular file"))
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case err != nil:
		return fail(err)
	case len(text) > maxSecret:
		return fail(errors.New("it is larger than 64 KiB"))
	case value == "":
		return fail(errors.New("it is empty"))
	}
	return value, nil
}
