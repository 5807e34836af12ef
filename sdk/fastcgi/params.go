package fastcgi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/mevdschee/tqserver/sdk/cgi"
)

// Param is one name-value pair of a request's environment.
type Param = cgi.Param

// Params are the name-value pairs of a request, in the order they came.
type Params []Param

// Lookup returns the value of the last pair called name and whether there is
// one: with a name sent twice PHP, too, sees the last.
func (p Params) Lookup(name string) (string, bool) { return cgi.Lookup(p, name) }

// Get is Lookup for those who take absent for empty.
func (p Params) Get(name string) string {
	v, _ := cgi.Lookup(p, name)
	return v
}

// Folded returns the params without those that PHP would take for another one.
// It may rewrite p; see cgi.Fold.
func (p Params) Folded() Params { return cgi.Fold(p) }

// Clone returns a copy that may be kept.
func (p Params) Clone() Params { return append(Params(nil), p...) }

// maxPair bounds a pair we send, lengths included: php-cgi resets the
// connection when a pair spans two PARAMS records, so it must fit in one.
const maxPair = 65500

// Errors in params.
var (
	// ErrPairTooLarge: a pair does not fit one record; nothing was sent.
	ErrPairTooLarge = errors.New("fastcgi: a param is larger than 65500 bytes")
	// ErrNUL: a name or value holds a NUL byte (section 6.1 forbids it).
	ErrNUL = errors.New("fastcgi: a param holds a NUL byte")

	errPairsCut  = errors.New("fastcgi: params end within a name-value pair")
	errPairCount = errors.New("fastcgi: too many params")
)

// pairSize returns the size of a pair on the wire.
func pairSize(name, value string) int {
	return lengthSize(len(name)) + lengthSize(len(value)) + len(name) + len(value)
}

func lengthSize(n int) int {
	if n < 128 {
		return 1
	}
	return 4
}

// appendPair appends a name-value pair (section 3.4).
func appendPair(b []byte, name, value string) []byte {
	b = appendLength(b, len(name))
	b = appendLength(b, len(value))
	b = append(b, name...)
	return append(b, value...)
}

func appendLength(b []byte, n int) []byte {
	if n < 128 {
		return append(b, byte(n))
	}
	return binary.BigEndian.AppendUint32(b, uint32(n)|1<<31)
}

// readLength reads one length from s and returns what it took, 0 when s is too
// short. The long form is allowed for short lengths, too.
func readLength(s string) (n, took int) {
	if len(s) == 0 {
		return 0, 0
	}
	if s[0] < 128 {
		return int(s[0]), 1
	}
	if len(s) < 4 {
		return 0, 0
	}
	return int(s[0]&0x7f)<<24 | int(s[1])<<16 | int(s[2])<<8 | int(s[3]), 4
}

// parseParams appends the pairs of a whole PARAMS stream to dst. Their strings
// share block. A pair without a name is dropped, as PHP does.
func parseParams(dst Params, block string, limit int) (Params, error) {
	if strings.IndexByte(block, 0) >= 0 {
		// A zero byte may be a length, so pairs have to be looked at.
		return parseSlow(dst, block, limit)
	}
	for len(block) > 0 {
		name, value, rest, ok := nextPair(block)
		if !ok {
			return dst, errPairsCut
		}
		block = rest
		if name == "" {
			continue
		}
		if len(dst) >= limit {
			return dst, errPairCount
		}
		dst = append(dst, Param{Name: name, Value: value})
	}
	return dst, nil
}

func parseSlow(dst Params, block string, limit int) (Params, error) {
	var nul error
	for len(block) > 0 {
		name, value, rest, ok := nextPair(block)
		if !ok {
			return dst, errPairsCut
		}
		block = rest
		if strings.IndexByte(name, 0) >= 0 || strings.IndexByte(value, 0) >= 0 {
			nul = fmt.Errorf("%w: %.40q", ErrNUL, name)
		}
		if name == "" {
			continue
		}
		if len(dst) >= limit {
			return dst, errPairCount
		}
		dst = append(dst, Param{Name: name, Value: value})
	}
	return dst, nul
}

// nextPair cuts the first pair off s. Lengths up to 2^31-1 are compared, never
// added up or allocated, so that none can overflow (CVE-2025-23016).
func nextPair(s string) (name, value, rest string, ok bool) {
	// The usual pair: two short lengths.
	if len(s) >= 2 && s[0]|s[1] < 128 {
		n, v := int(s[0]), int(s[1])
		if 2+n+v > len(s) {
			return "", "", "", false
		}
		return s[2 : 2+n], s[2+n : 2+n+v], s[2+n+v:], true
	}
	n, took := readLength(s)
	if took == 0 {
		return "", "", "", false
	}
	s = s[took:]
	v, took := readLength(s)
	if took == 0 {
		return "", "", "", false
	}
	s = s[took:]
	if n > len(s) || v > len(s)-n {
		return "", "", "", false
	}
	return s[:n], s[n : n+v], s[n+v:], true
}
