package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFastCGIRunsScriptsOfTheDocumentRootOnly is S14 and P1, P9, P10: php-cgi
// itself would run all of these, or die.
func TestFastCGIRunsScriptsOfTheDocumentRootOnly(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: plant()})
	public := s.path("workers/app/public")
	if err := os.Symlink(s.path("outside.php"), public+"/out.php"); err != nil {
		t.Fatal(err)
	}
	pids := s.onePHP(t)
	for network, at := range s.sockets() {
		for name, script := range map[string]string{
			"empty": "", "relative": "public/srv.php", "dots": "../private.php", "root": "/", "folder": public, "folder with slash": public + "/sub/",
			"outside": s.path("outside.php"), "beside": s.path("workers/app/private.php"), "passwd": "/etc/passwd", "library": "/usr/share/php/PEAR.php",
			"traversal": public + "/../private.php", "deep traversal": public + "/sub/../../private.php", "prefix of the root": public + "evil/x.php",
			"NUL": public + "/a.jpg\x00.php", "NUL behind a script": public + "/srv.php\x00.jpg", "image": public + "/a.jpg", "image with PATH_INFO": public + "/a.jpg/x.php",
			"other extension": public + "/b.phtml", "upper case": public + "/b.PHP", "hidden": public + "/.hidden.php", "source": public + "/c.php~",
			"symlink out": public + "/out.php", "missing": public + "/missing.php", "newline": public + "/shell.php\n", "blank": public + "/d.php ",
			"proxy outside": "proxy:fcgi://127.0.0.1:9000" + s.path("outside.php"), "proxy without path": "proxy:fcgi://127.0.0.1:9000", "proxy only": "proxy:fcgi://",
			"proxy encoded": "proxy:fcgi://127.0.0.1:9000" + public + "/%2e%2e/private.php", "stream": "php://input", "data": "data:text/plain,<?php echo 1;", "phar": "phar://" + public + "/b.phar",
			"long": public + strings.Repeat("/x", 3000) + ".php",
		} {
			// The URL leads nowhere either, should the route decide.
			params := []string{
				"SCRIPT_FILENAME", script, "SCRIPT_NAME", "/nowhere.php", "REQUEST_URI", "/nowhere.php", "REQUEST_METHOD", "GET", "SERVER_PROTOCOL", "HTTP/1.1",
				"QUERY_STRING", "", "HTTP_HOST", "localhost",
			}
			a, err := fcgi(t, at.Network(), at.String(), params...)
			if err == nil && (a.status() < 400 || a.status() >= 500 || strings.Contains(a.stdout, ran) || strings.Contains(a.stdout, source)) {
				t.Errorf("%s, %s: status %d: %.200q", network, name, a.status(), a.stdout)
			}
			if err != nil && !strings.Contains(script, "\x00") {
				t.Errorf("%s, %s: no answer: %v", network, name, err)
			}
			if name == "missing" && (a.status() != 404 || !strings.Contains(a.stderr, "Primary script unknown")) {
				t.Errorf("%s, %s: status %d, FCGI_STDERR %q", network, name, a.status(), a.stderr)
			}
		}
	}
	now := s.onePHP(t)
	if !pids.same(now) {
		t.Errorf("a refused request cost a child:\n%v\n%v", pids, now)
	}
}

func TestApacheFormsOfScriptFilename(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	public := s.path("workers/app/public")
	for name, test := range map[string]struct {
		params []string
		want   map[string]string
	}{
		"fcgi": {
			[]string{"SCRIPT_FILENAME", "proxy:fcgi://127.0.0.1:9000" + public + "/srv.php", "SCRIPT_NAME", "/srv.php"},
			map[string]string{"SCRIPT_NAME": "/srv.php", "PHP_SELF": "/srv.php"},
		},
		"fcgi on a unix socket": {
			[]string{"SCRIPT_FILENAME", "proxy:fcgi://localhost" + public + "/srv.php", "SCRIPT_NAME", "/srv.php"},
			map[string]string{"SCRIPT_NAME": "/srv.php"},
		},
		"fcgi with a query": {
			[]string{"SCRIPT_FILENAME", "proxy:fcgi://127.0.0.1:9000" + public + "/srv.php?a=1", "SCRIPT_NAME", "/srv.php", "QUERY_STRING", "a=1"},
			map[string]string{"SCRIPT_NAME": "/srv.php", "QUERY_STRING": "a=1"},
		},
		"fcgi with PATH_INFO": {
			[]string{"SCRIPT_FILENAME", "proxy:fcgi://127.0.0.1:9000" + public + "/srv.php/a/b", "SCRIPT_NAME", "/srv.php/a/b"},
			map[string]string{"SCRIPT_NAME": "/srv.php", "PATH_INFO": "/a/b", "PHP_SELF": "/srv.php/a/b"},
		},
		"balancer": {
			[]string{"SCRIPT_FILENAME", "proxy:balancer://pool" + public + "/srv.php", "SCRIPT_NAME", "/srv.php"},
			map[string]string{"SCRIPT_NAME": "/srv.php"},
		},
		"plain with PATH_INFO": {
			[]string{"SCRIPT_FILENAME", public + "/srv.php", "SCRIPT_NAME", "/srv.php", "PATH_INFO", "/a/b"},
			map[string]string{"SCRIPT_NAME": "/srv.php", "PATH_INFO": "/a/b", "PHP_SELF": "/srv.php/a/b"},
		},
	} {
		params := append(test.params, "REQUEST_METHOD", "GET", "REQUEST_URI", "/srv.php", "SERVER_PROTOCOL", "HTTP/1.1", "HTTP_HOST", "localhost", "REMOTE_ADDR", "192.0.2.7")
		a, err := fcgi(t, "tcp", s.tcp, params...)
		if err != nil || a.status() != 200 {
			t.Errorf("%s: %v, %.200q, %q", name, err, a.stdout, a.stderr)
			continue
		}
		got := decode[seen](t, a.body())
		for param, want := range test.want {
			if v := got.server(param); v != want {
				t.Errorf("%s: %s is %q, want %q", name, param, v, want)
			}
		}
		if v := got.server("SCRIPT_FILENAME"); v != public+"/srv.php" {
			t.Errorf("%s: SCRIPT_FILENAME is %q", name, v)
		}
	}
}

func TestFastCGIParams(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{"workers/app/public/evil.inc": planted, "outside.php": planted}})
	ask := func(t *testing.T, more ...string) seen {
		t.Helper()
		a, err := fcgi(t, "unix", s.unix, s.scriptParams("/srv.php", more...)...)
		if err != nil || a.status() != 200 {
			t.Fatalf("%v: %v, %.200q %q", more, err, a.stdout, a.stderr)
		}
		return decode[seen](t, a.body())
	}
	t.Run("of the web server reach PHP unchanged", func(t *testing.T) {
		got := ask(t, "CUSTOM_PARAM", "a value", "HTTP_X_TEST", "é", "REMOTE_USER", "jane", "HTTPS", "on", "FCGI_EMPTY", "")
		for name, want := range map[string]string{"CUSTOM_PARAM": "a value", "HTTP_X_TEST": "é", "REMOTE_USER": "jane", "HTTPS": "on", "FCGI_EMPTY": "", "REMOTE_ADDR": "192.0.2.7"} {
			if v := got.server(name); v != want {
				t.Errorf("%s is %q, want %q", name, v, want)
			}
		}
	})
	t.Run("PHP_VALUE has no effect and is logged", func(t *testing.T) {
		mark := s.log.len()
		for _, name := range []string{"PHP_VALUE", "PHP_ADMIN_VALUE"} {
			got := ask(t, name, "auto_prepend_file = "+s.path("outside.php")+"\nallow_url_include = 1")
			if got.Prepend != "" || got.Include != "" && got.Include != "0" {
				t.Errorf("%s took effect: %q %q", name, got.Prepend, got.Include)
			}
			s.log.wait(t, 2*time.Second, mark, name)
		}
	})
	t.Run("HTTP_PROXY is dropped", func(t *testing.T) {
		got := ask(t, "HTTP_PROXY", "http://evil.example")
		if v := got.server("HTTP_PROXY"); v != "(absent)" || got.Env["HTTP_PROXY"] != "" {
			t.Errorf("HTTP_PROXY is %q", v)
		}
	})
	t.Run("aliases are one param, the true name's", func(t *testing.T) {
		for _, alias := range []string{"HTTP_REMOTE.USER", "HTTP_REMOTE USER", "HTTP_REMOTE[USER", "HTTP.REMOTE_USER"} {
			for _, params := range [][]string{
				{alias, "evil", "HTTP_REMOTE_USER", "trusted"},
				{"HTTP_REMOTE_USER", "trusted", alias, "evil"},
			} {
				for range 10 {
					if v := ask(t, params...).server("HTTP_REMOTE_USER"); v != "trusted" {
						t.Fatalf("%q: HTTP_REMOTE_USER is %q", params, v)
					}
				}
			}
		}
	})
	t.Run("too many or too large are refused", func(t *testing.T) {
		many := s.scriptParams("/srv.php")
		for i := range 10_000 {
			many = append(many, "HTTP_X_"+itoa(i), "v")
		}
		for name, params := range map[string][]string{
			"10,000 params": many,
			"one of 70 kB":  s.scriptParams("/srv.php", "HTTP_X_LARGE", strings.Repeat("x", 70_000)),
			"1 MiB":         s.scriptParams("/srv.php", "HTTP_X_LARGE", strings.Repeat("x", 1<<20)),
		} {
			a, err := fcgi(t, "unix", s.unix, params...)
			if err == nil && (a.status() < 400 || a.status() >= 500) {
				t.Errorf("%s: status %d %.100q", name, a.status(), a.stdout)
			}
		}
	})
	t.Run("cut anywhere", func(t *testing.T) {
		params := pairs(s.scriptParams("/srv.php", "HTTP_X_LONG", strings.Repeat("y", 300))...)
		for cut := 1; cut < len(params); cut += 7 {
			c := dial(t, "unix", s.unix)
			b := slices.Concat(begin(1, false), record(fcgiParams, 1, params[:cut]), record(fcgiParams, 1, params[cut:]), record(fcgiParams, 1, nil), record(fcgiStdin, 1, nil))
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			a, err := readAnswer(c)
			_ = c.Close()
			if err != nil || a.status() != 200 || decode[seen](t, a.body()).server("HTTP_X_LONG") != strings.Repeat("y", 300) {
				t.Fatalf("cut at %d: %v %.100q", cut, err, a.stdout)
			}
		}
	})
}
