package api

import (
	"regexp"
	"strings"
	"testing"
)

func TestRequestIDs(t *testing.T) {
	fresh := regexp.MustCompile(`^[0-9a-f]{32}$`)
	if a, b := NewRequestID(), NewRequestID(); a == b || !fresh.MatchString(a) {
		t.Errorf("%q, %q", a, b)
	}
	for id, kept := range map[string]bool{
		"abc-DEF_1.2:3/4+5=@": true, "": false, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
		"a b": false, "a\nb": false, "ä": false, "\x1b]0;": false, `"`: false,
	} {
		if got := TrustedRequestID(id); (got == id) != kept || !kept && !fresh.MatchString(got) {
			t.Errorf("%q became %q", id, got)
		}
	}
	ctx := WithRequestID(t.Context(), "x")
	if RequestID(ctx) != "x" || RequestID(t.Context()) != "" {
		t.Error(RequestID(ctx))
	}
}
