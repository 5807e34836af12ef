package cgi

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func get(params []Param, name string) string {
	v, ok := Lookup(params, name)
	if !ok {
		return "(absent)"
	}
	return v
}

func TestAppendEnv(t *testing.T) {
	r := httptest.NewRequest("POST", "http://example.org:8080/a/b%20c.php/info?x=1&y=%2f", nil)
	r.RemoteAddr = "[2001:db8::1]:4711"
	r.TLS = &tls.ConnectionState{}
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8443}))
	r.Header = http.Header{
		"Content-Type": {"text/plain"}, "Content-Length": {"999"}, "Authorization": {"Basic x"},
		"Cookie": {"a=1", "b=2"}, "X-Forwarded-For": {"1.1.1.1", "2.2.2.2"}, "Proxy": {"http://evil/"},
		"Remote_user": {"evil"}, "Remote.user": {"evil"}, "X Y": {"evil"}, "Remote-User": {"honest"},
		"Redirect-Status": {"1"}, "x-lower": {"low"}, "x-forwarded-for": {"evil"}, "Script_filename": {"/evil"}, "Content_length": {"5"},
	}
	env := AppendEnv(nil, r, Env{ServerSoftware: "TQServer", ContentLength: 12})
	want := map[string]string{
		"GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_METHOD": "POST", "REQUEST_SCHEME": "https",
		"REQUEST_URI": "http://example.org:8080/a/b%20c.php/info?x=1&y=%2f", "QUERY_STRING": "x=1&y=%2f",
		"SERVER_SOFTWARE": "TQServer", "SERVER_NAME": "example.org", "SERVER_PORT": "8443", "SERVER_ADDR": "192.0.2.1",
		"REMOTE_ADDR": "2001:db8::1", "REMOTE_PORT": "4711", "HTTPS": "on", "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "12",
		"HTTP_HOST": "example.org:8080", "HTTP_AUTHORIZATION": "Basic x", "HTTP_COOKIE": "a=1; b=2", "HTTP_X_FORWARDED_FOR": "1.1.1.1, 2.2.2.2",
		"HTTP_REMOTE_USER": "honest", "HTTP_REDIRECT_STATUS": "1", "HTTP_X_LOWER": "low",
	}
	want["REQUEST_URI"] = "/a/b%20c.php/info?x=1&y=%2f"
	got := map[string]string{}
	for _, p := range env {
		if _, twice := got[p.Name]; twice {
			t.Errorf("%s stands twice", p.Name)
		}
		got[p.Name] = p.Value
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAppendEnvPlain(t *testing.T) {
	r := &http.Request{URL: &url.URL{Path: "/"}, Host: "example.org", RemoteAddr: "@"}
	env := AppendEnv([]Param{{"SCRIPT_NAME", "/x"}}, r, Env{ContentLength: -1, ServerName: "configured"})
	for name, want := range map[string]string{
		"SCRIPT_NAME": "/x", "SERVER_NAME": "configured", "SERVER_PORT": "80", "REQUEST_METHOD": "GET", "REQUEST_URI": "/", "QUERY_STRING": "",
		"CONTENT_LENGTH": "(absent)", "CONTENT_TYPE": "(absent)", "HTTPS": "(absent)", "REMOTE_ADDR": "(absent)", "SERVER_ADDR": "(absent)",
		"HTTP_PROXY": "(absent)", "PATH_INFO": "(absent)", "AUTH_TYPE": "(absent)",
	} {
		if got := get(env, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestFold(t *testing.T) {
	tests := []struct {
		name     string
		in, want []Param
	}{
		{"nothing to do", []Param{{"A", "1"}, {"B", "2"}}, []Param{{"A", "1"}, {"B", "2"}}},
		{"last of a name wins", []Param{{"A", "1"}, {"B", "2"}, {"A", "3"}}, []Param{{"B", "2"}, {"A", "3"}}},
		{"S11 httpoxy", []Param{{"HTTP_PROXY", "x"}, {"A", "1"}}, []Param{{"A", "1"}}},
		{"S11 httpoxy by alias", []Param{{"HTTP.PROXY", "x"}, {"HTTP_PROXY", "y"}, {"A", "1"}}, []Param{{"A", "1"}}},
		{"P11 alias first", []Param{{"HTTP_REMOTE.USER", "evil"}, {"HTTP_REMOTE_USER", "good"}}, []Param{{"HTTP_REMOTE_USER", "good"}}},
		{"P11 alias last", []Param{{"HTTP_REMOTE_USER", "good"}, {"HTTP_REMOTE USER", "evil"}, {"HTTP_REMOTE[USER", "evil"}}, []Param{{"HTTP_REMOTE_USER", "good"}}},
		{"alias of a header alone", []Param{{"HTTP_X.Y", "evil"}, {"A", "1"}}, []Param{{"A", "1"}}},
		{"alias makes a header", []Param{{"HTTP.X", "evil"}, {"A", "1"}}, []Param{{"A", "1"}}},
		{"S13 server variable", []Param{{"SCRIPT.FILENAME", "/evil"}, {"SCRIPT_FILENAME", "/good"}}, []Param{{"SCRIPT_FILENAME", "/good"}}},
		{"alias alone is renamed", []Param{{"my.var", "x"}}, []Param{{"my_var", "x"}}},
		{"two aliases, the last wins", []Param{{"my.var", "x"}, {"my var", "y"}}, []Param{{"my_var", "y"}}},
		{"leading space", []Param{{" SCRIPT_NAME", "evil"}, {"A", "1"}}, []Param{{"A", "1"}}},
		{"empty name", []Param{{"", "x"}, {"A", "1"}}, []Param{{"A", "1"}}},
		{"case is kept apart", []Param{{"a", "x"}, {"A", "1"}}, []Param{{"a", "x"}, {"A", "1"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Fold(slices.Clone(test.in))); diff != "" {
				t.Error(diff)
			}
		})
	}
	many := make([]Param, 500)
	for i := range many {
		many[i] = Param{strings.Repeat("N", 1+i%20) + string(rune('A'+i%26)) + strings.Repeat("x", i/20), "v"}
	}
	if n := testing.AllocsPerRun(10, func() { Fold(many) }); n > 0 {
		t.Errorf("%v allocations with nothing to do", n)
	}
}

func TestNewRequest(t *testing.T) {
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, "x")
	r, err := NewRequest(ctx, []Param{
		{"REQUEST_METHOD", "POST"},
		{"REQUEST_URI", "/a%20b?c=d"},
		{"SERVER_PROTOCOL", "HTTP/2.0"},
		{"HTTP_HOST", "example.org:81"},
		{"CONTENT_TYPE", "text/plain"},
		{"CONTENT_LENGTH", "12"},
		{"HTTPS", "on"},
		{"REMOTE_ADDR", "::1"},
		{"REMOTE_PORT", "99"},
		{"HTTP_USER_AGENT", "ua"},
		{"HTTP_X_ODD__NAME", "odd"},
		{"HTTP_PROXY", "evil"},
		{"HTTP_CONTENT_LENGTH", "9"},
		{"HTTP_", "x"},
		{"HTTP_B\xc3\xa4D", "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != "POST" || r.URL.Path != "/a b" || r.URL.RawQuery != "c=d" || r.ProtoMajor != 2 || r.Host != "example.org:81" ||
		r.ContentLength != 12 || r.TLS == nil || r.RemoteAddr != "[::1]:99" || r.RequestURI != "/a%20b?c=d" || r.Context() != ctx {
		t.Errorf("got %+v", r)
	}
	want := http.Header{"Content-Type": {"text/plain"}, "User-Agent": {"ua"}, "X-Odd--Name": {"odd"}}
	if diff := cmp.Diff(want, r.Header); diff != "" {
		t.Error(diff)
	}

	r, err = NewRequest(ctx, []Param{{"REQUEST_METHOD", "GET"}, {"SCRIPT_NAME", "/x.php"}, {"PATH_INFO", "/in fo"}, {"QUERY_STRING", "q"}, {"SERVER_NAME", "n"}, {"REMOTE_ADDR", "1.2.3.4"}})
	if err != nil || r.URL.String() != "/x.php/in%20fo?q" || r.Host != "n" || r.ContentLength != -1 || r.RemoteAddr != "1.2.3.4:0" || r.TLS != nil {
		t.Errorf("got %+v, %v", r, err)
	}
	if r, err = NewRequest(ctx, []Param{{"REQUEST_METHOD", "OPTIONS"}, {"REQUEST_URI", "*"}}); err != nil || r.URL.Path != "*" || r.RemoteAddr != "@" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestNewRequestRefuses(t *testing.T) {
	for name, p := range map[string]Param{
		"no method":            {"REQUEST_METHOD", ""},
		"method with a space":  {"REQUEST_METHOD", "GET /"},
		"protocol":             {"SERVER_PROTOCOL", "GOPHER"},
		"length +5":            {"CONTENT_LENGTH", "+5"},
		"length list":          {"CONTENT_LENGTH", "5, 5"},
		"length -2":            {"CONTENT_LENGTH", "-2"},
		"length 1e20":          {"CONTENT_LENGTH", "100000000000000000000"},
		"length space":         {"CONTENT_LENGTH", " 5"},
		"length hex":           {"CONTENT_LENGTH", "0x10"},
		"host with a space":    {"HTTP_HOST", "a b"},
		"host with a path":     {"HTTP_HOST", "evil.com:80/.."},
		"host control":         {"HTTP_HOST", "a\nb"},
		"URI without a slash":  {"REQUEST_URI", "x"},
		"URI control":          {"REQUEST_URI", "/a\x01"},
		"URI bad escape":       {"REQUEST_URI", "/%zz"},
		"header with a CR":     {"HTTP_X", "a\r\nb"},
		"content type control": {"CONTENT_TYPE", "a\nb"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewRequest(t.Context(), []Param{{"REQUEST_METHOD", "GET"}, {"REQUEST_URI", "/"}, p})
			if !errors.Is(err, ErrRequest) {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

// FuzzNewRequest: what is taken as a request is one, and its environment makes
// the same request again.
func FuzzNewRequest(f *testing.F) {
	f.Add("GET", "/a?b", "example.org", "12", "HTTP_X_Y", "z")
	f.Add("POST", "", "", "", "HTTP_.A", "\r")
	f.Fuzz(func(t *testing.T, method, uri, host, length, name, value string) {
		params := []Param{{"REQUEST_METHOD", method}, {"REQUEST_URI", uri}, {"HTTP_HOST", host}, {"CONTENT_LENGTH", length}, {name, value}}
		r, err := NewRequest(t.Context(), Fold(params))
		if err != nil {
			if !errors.Is(err, ErrRequest) {
				t.Errorf("error %v", err)
			}
			return
		}
		for key, values := range r.Header {
			if !ValidToken(key) || strings.ContainsAny(values[0], "\r\n\x00") {
				t.Errorf("header %q: %q", key, values)
			}
		}
		again, err := NewRequest(t.Context(), AppendEnv(nil, r, Env{ContentLength: r.ContentLength}))
		if err != nil {
			t.Fatalf("again: %v", err)
		}
		if again.Method != r.Method || again.Host != r.Host || again.ContentLength != r.ContentLength {
			t.Errorf("again %+v, first %+v", again, r)
		}
	})
}
