package cgi

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseHead(t *testing.T) {
	tests := []struct {
		name, in string
		want     Head
		body     string
	}{
		{"usual", "Content-type: text/html; charset=UTF-8\r\n\r\n<p>", Head{Status: 200, ContentLength: -1, Fields: []Param{{"Content-Type", "text/html; charset=UTF-8"}}}, "<p>"},
		{"LF only", "A: b\nC:d\n\nbody\n\n", Head{Status: 200, ContentLength: -1, Fields: []Param{{"A", "b"}, {"C", "d"}}}, "body\n\n"},
		{"mixed ends", "A: b\nC: d\r\n\n", Head{Status: 200, ContentLength: -1, Fields: []Param{{"A", "b"}, {"C", "d"}}}, ""},
		{"status", "Status: 404 Not Found\r\nX: \t y \t\r\n\r\n", Head{Status: 404, Reason: "Not Found", ContentLength: -1, Fields: []Param{{"X", "y"}}}, ""},
		{"status without reason", "status:503\n\n", Head{Status: 503, ContentLength: -1, Fields: []Param{}}, ""},
		{"status 999", "Status: 999 x\n\n", Head{Status: 999, Reason: "x", ContentLength: -1, Fields: []Param{}}, ""},
		{"cookies in order", "Set-Cookie: b=1\nX: y\nSet-Cookie: a=2\n\n", Head{Status: 200, ContentLength: -1, Fields: []Param{{"Set-Cookie", "b=1"}, {"X", "y"}, {"Set-Cookie", "a=2"}}}, ""},
		{"local redirect", "Location: /other?x=1\r\n\r\n", Head{Status: 200, LocalRedirect: "/other?x=1", ContentLength: -1, Fields: []Param{}}, ""},
		{"local path with a status goes to the client", "Status: 301 Moved\nLocation: /other\r\n\r\n", Head{Status: 301, Reason: "Moved", ContentLength: -1, Fields: []Param{{"Location", "/other"}}}, ""},
		{"client redirect", "Location: https://example.org/\r\n\r\n", Head{Status: 302, ContentLength: -1, Fields: []Param{{"Location", "https://example.org/"}}}, ""},
		{"scheme-relative is no path", "Location: //evil/\r\n\r\n", Head{Status: 302, ContentLength: -1, Fields: []Param{{"Location", "//evil/"}}}, ""},
		{"redirect, status later", "Location: /x\nStatus: 303 See\n\n", Head{Status: 303, Reason: "See", ContentLength: -1, Fields: []Param{{"Location", "/x"}}}, ""},
		{"length", "Content-Length: 12\n\n", Head{Status: 200, ContentLength: 12, Fields: []Param{{"Content-Length", "12"}}}, ""},
		{"hop by hop", "Connection: close\nTransfer-Encoding: chunked\nKeep-Alive: x\nUpgrade: h2c\nProxy-Authenticate: x\nTrailer: a\nTE: b\nX: y\n\n", Head{Status: 200, ContentLength: -1, Fields: []Param{{"X", "y"}}, Trailer: "a"}, ""},
		{"switching protocols", "Status: 101 Switching\nConnection: Upgrade\nUpgrade: websocket\n\n", Head{Status: 101, Reason: "Switching", ContentLength: -1, Fields: []Param{{"Connection", "Upgrade"}, {"Upgrade", "websocket"}}}, ""},
		{"second type is dropped", "Content-Type: a/b\nContent-Type: c/d\n\n", Head{Status: 200, ContentLength: -1, Fields: []Param{{"Content-Type", "a/b"}}}, ""},
		{"bytes above 127", "X: \xc3\xa9\xff\n\n", Head{Status: 200, ContentLength: -1, Fields: []Param{{"X", "\xc3\xa9\xff"}}}, ""},
		{"empty value", "X:\n\n", Head{Status: 200, ContentLength: -1, Fields: []Param{{"X", ""}}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, n, err := ParseHead([]byte(test.in), 0)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Error(diff)
			}
			if test.in[n:] != test.body {
				t.Errorf("body %q", test.in[n:])
			}
			// The same, byte by byte.
			var p HeadParser
			for i := range len(test.in) - len(test.body) {
				if h, n, err := p.Parse([]byte(test.in[:i])); h != nil || n != 0 || err != nil {
					t.Fatalf("after %d bytes: %v %d %v", i, h, n, err)
				}
			}
			got, _, err = p.Parse([]byte(test.in))
			if diff := cmp.Diff(&test.want, got); diff != "" || err != nil {
				t.Error(err, diff)
			}
		})
	}
}

func TestParseHeadRefuses(t *testing.T) {
	tests := []struct {
		name, in string
		line     int
		want     string
	}{
		{"NPH", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 1, "NPH"},
		{"folded", "A: b\r\n c\r\n\r\n", 2, "folded"},
		{"folded by tab", "A: b\n\tc\n\n", 2, "folded"},
		{"no header", "\r\nbody", 1, "no header"},
		{"no colon", "A: b\nwarning\n\n", 2, "no colon"},
		{"PHP warning", "PHP Warning:  something in /a.php\n\n", 1, "not the name"},
		{"empty name", ": x\n\n", 1, "not the name"},
		{"space before the colon", "A : b\n\n", 1, "not the name"},
		{"CR in a value", "A: b\rSet-Cookie: x\n\n", 1, "0x0d"},
		{"NUL in a value", "A: b\x00\n\n", 1, "0x00"},
		{"NUL in a name", "A\x00: b\n\n", 1, "not the name"},
		{"escape", "A: \x1b[0m\n\n", 1, "0x1b"},
		{"DEL", "A: \x7f\n\n", 1, "0x7f"},
		{"status 99", "Status: 99\n\n", 1, "Status"},
		{"status 99999", "Status: 99999\n\n", 1, "Status"},
		{"status 099", "Status: 099 x\n\n", 1, "Status"},
		{"status +20", "Status: +20 x\n\n", 1, "Status"},
		{"status empty", "Status:\n\n", 1, "Status"},
		{"status word", "Status: OK\n\n", 1, "Status"},
		{"status stuck", "Status: 200OK\n\n", 1, "Status"},
		{"two Status", "Status: 200\nStatus: 201\n\n", 2, "second Status"},
		{"two Location", "Location: /a\nLocation: /b\n\n", 2, "second Location"},
		{"two lengths", "Content-Length: 5\nContent-Length: 5\n\n", 2, "second Content-Length"},
		{"length -1", "Content-Length: -1\n\n", 1, "not a number"},
		{"length +5", "Content-Length: +5\n\n", 1, "not a number"},
		{"length list", "Content-Length: 5, 5\n\n", 1, "not a number"},
		{"length huge", "Content-Length: 99999999999999999999\n\n", 1, "not a number"},
		{"length above int64", "Content-Length: 9223372036854775808\n\n", 1, "not a number"},
		{"too many", strings.Repeat("A: b\n", maxFields+1) + "\n", maxFields + 1, "too many"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, n, err := ParseHead([]byte(test.in), 0)
			var he *HeadError
			if h != nil || n != 0 || !errors.As(err, &he) || he.Line != test.line || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %d, %v", h, n, err)
			}
		})
	}
}

func TestParseHeadBound(t *testing.T) {
	head := "A: " + strings.Repeat("x", 90) + "\r\n\r\n"
	for limit, want := range map[int]error{len(head): nil, len(head) - 1: ErrHeadTooLarge} {
		if _, _, err := ParseHead([]byte(head), limit); !errors.Is(err, want) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	if _, _, err := ParseHead([]byte(head[:50]), 50); !errors.Is(err, ErrHeadTooLarge) {
		t.Errorf("an endless head: %v", err)
	}
}

func TestHeadCopyTo(t *testing.T) {
	h, _, _ := ParseHead([]byte("Set-Cookie: a\nX: y\nSet-Cookie: b\n\n"), 0)
	dst := http.Header{"X": {"old"}, "Y": {"kept"}, "Set-Cookie": {"old"}}
	h.CopyTo(dst)
	want := http.Header{"X": {"y"}, "Y": {"kept"}, "Set-Cookie": {"a", "b"}}
	if diff := cmp.Diff(want, dst); diff != "" {
		t.Error(diff)
	}
}

// FuzzParseHead: no panic, the same result in any pieces, and nothing gets
// through that a header may not hold.
func FuzzParseHead(f *testing.F) {
	f.Add([]byte("Status: 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=b\r\n\r\nbody"), uint16(3))
	f.Add([]byte("Location: /x\n\n"), uint16(1))
	f.Add([]byte("A: b\r c\n\r\n"), uint16(4))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		h, n, err := ParseHead(in, 4096)
		var p HeadParser
		p.Max = 4096
		first, _, ferr := p.Parse(in[:min(int(cut), len(in))])
		if first == nil && ferr == nil {
			h2, n2, err2 := p.Parse(in)
			if fmt.Sprint(h, n, err) != fmt.Sprint(h2, n2, err2) {
				t.Errorf("in pieces %v %d %v, at once %v %d %v", h2, n2, err2, h, n, err)
			}
		}
		if h == nil {
			return
		}
		if h.Status < 100 || h.Status > 999 || n == 0 {
			t.Errorf("status %d, length %d", h.Status, n)
		}
		for _, field := range h.Fields {
			if !ValidToken(field.Name) || strings.ContainsAny(field.Value, "\r\n\x00") {
				t.Errorf("field %q", field)
			}
		}
	})
}

func TestCorpusIsThere(t *testing.T) {
	for _, target := range []string{"FuzzParseHead", "FuzzNewRequest"} {
		files, err := os.ReadDir("testdata/fuzz/" + target)
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %d files, %v", target, len(files), err)
		}
	}
}
