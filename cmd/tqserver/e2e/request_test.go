package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequestsReachPHPWhole(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			t.Run("query string", func(t *testing.T) {
				const query = "a=1&b[]=x&b[]=y&c=%20%2B+&d=%C3%A9&e"
				got := decode[seen](t, must(t, c, 200, "GET", f.url("/srv.php?"+query), nil).body)
				want := map[string]any{"a": "1", "b": []any{"x", "y"}, "c": " + ", "d": "é", "e": ""}
				if d := cmp.Diff(want, got.Get); d != "" {
					t.Error(d)
				}
				if q := got.server("QUERY_STRING"); q != query {
					t.Errorf("QUERY_STRING %q", q)
				}
			})
			t.Run("form post", func(t *testing.T) {
				form := url.Values{"name": {"Jane Dœ"}, "list[]": {"1", "2"}, "empty": {""}}
				got := decode[seen](t, must(t, c, 200, "POST", f.url("/srv.php?q=1"), strings.NewReader(form.Encode()),
					"Content-Type", "application/x-www-form-urlencoded").body)
				want := map[string]any{"name": "Jane Dœ", "list": []any{"1", "2"}, "empty": ""}
				if d := cmp.Diff(want, got.Post); d != "" {
					t.Error(d)
				}
				if d := cmp.Diff(map[string]any{"q": "1"}, got.Get); d != "" {
					t.Error(d)
				}
			})
			t.Run("environment of the request", func(t *testing.T) {
				got := decode[seen](t, must(t, c, 200, "GET", f.url("/srv.php?x=1"), nil, "User-Agent", "e2e/1", "X-Some-Header", "value",
					"Authorization", "Basic dXNlcjpzZWNyZXQ=", "Cookie", "a=1; b=2").body)
				for name, want := range map[string]string{
					"REQUEST_METHOD": "GET", "REQUEST_URI": "/srv.php?x=1", "SCRIPT_NAME": "/srv.php", "PHP_SELF": "/srv.php",
					"SCRIPT_FILENAME": s.path("workers/app/public/srv.php"), "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1",
					"REMOTE_ADDR": "127.0.0.1", "SERVER_ADDR": "127.0.0.1", "SERVER_PORT": f.address[strings.LastIndex(f.address, ":")+1:],
					"HTTP_USER_AGENT": "e2e/1", "HTTP_X_SOME_HEADER": "value", "PHP_AUTH_USER": "user", "PHP_AUTH_PW": "secret",
					"HTTPS": "(absent)", "HTTP_PROXY": "(absent)", "DOCUMENT_ROOT": s.path("workers/app/public"),
				} {
					if value := got.server(name); value != want {
						t.Errorf("%s is %q, want %q", name, value, want)
					}
				}
				if v := got.server("PATH_INFO"); v != "(absent)" && v != "" { // nginx sends it empty
					t.Errorf("PATH_INFO is %q", v)
				}
				if d := cmp.Diff(map[string]any{"a": "1", "b": "2"}, got.Cookie); d != "" {
					t.Error(d)
				}
			})
			t.Run("PATH_INFO", func(t *testing.T) {
				got := decode[seen](t, must(t, c, 200, "GET", f.url("/srv.php/a/b%20c?x=1"), nil).body)
				for name, want := range map[string]string{
					"PATH_INFO": "/a/b c", "SCRIPT_NAME": "/srv.php", "PHP_SELF": "/srv.php/a/b c", "REQUEST_URI": "/srv.php/a/b%20c?x=1",
					"SCRIPT_FILENAME": s.path("workers/app/public/srv.php"),
				} {
					if value := got.server(name); value != want {
						t.Errorf("%s is %q, want %q", name, value, want)
					}
				}
			})
			t.Run("index", func(t *testing.T) {
				if a := must(t, c, 200, "GET", f.url("/"), nil); f.name != "nginx-fpm-params-unix-closed" && a.body != "index of the root" {
					t.Errorf("%q", a.body)
				}
			})
			t.Run("missing script", func(t *testing.T) {
				must(t, c, 404, "GET", f.url("/missing.php"), nil)
				if f.name == "nginx-fpm-params-unix-closed" && !strings.Contains(f.nginx.errors(), "Primary script unknown") {
					t.Errorf("nginx's error log does not say that the primary script is unknown: %s", f.nginx.errors())
				}
			})
		})
	}
}

func TestAnswersOfPHPReachTheClientWhole(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			for _, code := range []string{"200", "201", "202", "400", "403", "404", "410", "418", "429", "500", "503"} {
				a, err := do(c, "GET", f.url("/answer.php?body=text&code="+code), nil)
				if err != nil || a.Status[:3] != code || a.body != "text" || a.Header.Get("X-Answer") != "yes" {
					t.Errorf("status %s: %v %v %q", code, err, a.Response, a.body)
				}
			}
			for _, code := range []int{http.StatusNoContent, http.StatusNotModified} {
				a := must(t, c, code, "GET", f.url("/answer.php?body=none&code="+itoa(code)), nil)
				if a.body != "" {
					t.Errorf("status %d came with %q", code, a.body)
				}
				must(t, c, 200, "GET", f.url("/answer.php"), nil) // the same connection still works
			}
			t.Run("HEAD", func(t *testing.T) {
				a := must(t, c, 200, "HEAD", f.url("/answer.php?body=text"), nil)
				if a.body != "" || a.Header.Get("X-Answer") != "yes" {
					t.Errorf("%q %v", a.body, a.Header)
				}
				must(t, c, 200, "HEAD", f.url("/big.php?blocks=64&length"), nil)
				must(t, c, 200, "GET", f.url("/answer.php"), nil)
			})
			t.Run("redirects", func(t *testing.T) {
				for query, want := range map[string]int{
					"location=http://other.example/x": 302, "location=/elsewhere?a=b": 302, "location=next": 302,
					"location=/moved&code=301": 301, "location=/kept&code=307": 307, "location=/other&code=303": 303,
				} {
					a := must(t, c, want, "GET", f.url("/answer.php?"+query), nil)
					location, _, _ := strings.Cut(strings.TrimPrefix(query, "location="), "&")
					if got := a.Header.Get("Location"); got != location && got != f.url(location) {
						t.Errorf("%s: Location %q", query, got)
					}
				}
			})
			t.Run("cookies", func(t *testing.T) {
				a := must(t, c, 200, "GET", f.url("/answer.php?cookies"), nil)
				want := []string{"first=1", "second=a%20b", "third=3; Path=/; HttpOnly"}
				if d := cmp.Diff(want, a.Header["Set-Cookie"]); d != "" {
					t.Error(d)
				}
			})
			t.Run("empty", func(t *testing.T) {
				if a := must(t, c, 200, "GET", f.url("/answer.php"), nil); a.body != "" {
					t.Errorf("%q", a.body)
				}
			})
		})
	}
}
