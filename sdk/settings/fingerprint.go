package settings

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Fingerprint changes when the text of a file or the value of a variable changes
// that settings may refer to as a secret. Empty says that they refer to none. What
// only looks like a reference counts as well.
func Fingerprint(settings json.RawMessage) string {
	dec := json.NewDecoder(bytes.NewReader(settings))
	dec.UseNumber()
	var tree any
	if dec.Decode(&tree) != nil {
		return ""
	}
	sum := sha256.New()
	found := false
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if !isReference(v) {
				return
			}
			found = true
			value, err := Resolve(v)
			if err != nil {
				value = "\x00" // another than any that could be read
			}
			one := sha256.Sum256([]byte(v + "\x00" + value))
			_, _ = sum.Write(one[:]) // a hash takes everything
		case []any:
			for _, entry := range v {
				walk(entry)
			}
		case map[string]any:
			for _, key := range sortedKeys(v) {
				walk(v[key])
			}
		}
	}
	walk(tree)
	if !found {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}
