package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestHeadersBecomeNoOtherParams(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			ask := func(t *testing.T, header ...string) (seen, int) {
				t.Helper()
				a, err := raw(t, f.address, target("/srv.php", append(header, "", "")...))
				if err != nil {
					t.Fatal(err)
				}
				if a.StatusCode != 200 {
					return seen{}, a.StatusCode
				}
				return decode[seen](t, a.body), 200
			}
			t.Run("httpoxy", func(t *testing.T) {
				for _, name := range []string{"Proxy", "proxy", "PROXY", "pRoXy"} {
					got, _ := ask(t, name+": http://evil.example/")
					if v := got.server("HTTP_PROXY"); v != "(absent)" {
						t.Errorf("header %s: HTTP_PROXY is %q", name, v)
					}
					if v, ok := got.Env["HTTP_PROXY"]; ok {
						t.Errorf("header %s: getenv HTTP_PROXY is %q", name, v)
					}
				}
			})
			t.Run("aliases", func(t *testing.T) {
				for _, alias := range []string{"X_Forwarded_For", "X.Forwarded.For", "X-Forwarded_For", "x.forwarded-for", "X_Forwarded-For"} {
					for _, header := range [][]string{
						{"X-Forwarded-For: 10.0.0.1", alias + ": evil"},
						{alias + ": evil", "X-Forwarded-For: 10.0.0.1"},
					} {
						for range 5 {
							got, _ := ask(t, header...)
							if v := got.server("HTTP_X_FORWARDED_FOR"); v != "10.0.0.1" {
								t.Errorf("%v: HTTP_X_FORWARDED_FOR is %q", header, v)
							}
						}
					}
					if got, _ := ask(t, alias+": evil"); f.byHTTP && got.server("HTTP_X_FORWARDED_FOR") != "(absent)" {
						t.Errorf("%s alone: HTTP_X_FORWARDED_FOR is %q", alias, got.server("HTTP_X_FORWARDED_FOR"))
					}
				}
			})
			t.Run("server's own params", func(t *testing.T) {
				got, _ := ask(t, "Redirect-Status: 1", "Script-Filename: /etc/passwd", "Script_Filename: /etc/passwd", "Content_Length: 99", "Content_Type: evil/evil",
					"Remote-Addr: 1.2.3.4", "Remote_User: admin", "Remote.User: admin", "Path-Info: /evil", "Document-Root: /", "Https: on", "Request-Method: POST",
					"Php-Value: auto_prepend_file=/etc/passwd", "Php_Admin_Value: auto_prepend_file=/etc/passwd")
				for name, want := range map[string]string{
					"SCRIPT_FILENAME": s.path("workers/app/public/srv.php"), "REMOTE_ADDR": "127.0.0.1", "REMOTE_USER": "", "PATH_INFO": "", "REQUEST_METHOD": "GET",
					"HTTPS": "", "HTTP_REDIRECT_STATUS": "1", "HTTP_REMOTE_ADDR": "1.2.3.4", "HTTP_HTTPS": "on",
				} {
					if v := got.server(name); v != want && (want != "" || v != "(absent)") {
						t.Errorf("%s is %q, want %q", name, v, want)
					}
				}
				for _, name := range []string{"CONTENT_LENGTH", "CONTENT_TYPE"} {
					if v := got.server(name); v == "99" || v == "evil/evil" {
						t.Errorf("%s is %q", name, v)
					}
				}
				if got.Prepend != "" {
					t.Errorf("auto_prepend_file is %q", got.Prepend)
				}
			})
			t.Run("no header at all", func(t *testing.T) {
				for _, header := range []string{"X Forwarded For: evil", "X-A : evil", ": evil", "X[a]: evil"} {
					if got, status := ask(t, header); status == 200 {
						for name, v := range got.Server {
							if strings.HasPrefix(name, "HTTP_") && v == "evil" {
								t.Errorf("%q became %s", header, name)
							}
						}
					}
				}
			})
		})
	}
}

// S18, S38: what two servers could read in two ways is refused.
func TestAmbiguousHTTPIsRefused(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	body := "0\r\n\r\nGET /answer.php?body=SMUGGLED HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for name, request := range map[string]string{
		"length and chunked":  "POST /echo.php HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + itoa(len(body)) + "\r\nTransfer-Encoding: chunked\r\n\r\n" + body,
		"two lengths":         "POST /echo.php HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
		"length list":         "POST /echo.php HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5, 5\r\n\r\nabcde",
		"signed length":       "POST /echo.php HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\nabcde",
		"negative length":     "POST /echo.php HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
		"huge length":         "POST /echo.php HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"two hosts":           "GET /srv.php HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"no host":             "GET /srv.php HTTP/1.1\r\n\r\n",
		"unknown encoding":    "POST /echo.php HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n" + body,
		"blank before colon":  "POST /echo.php HTTP/1.1\r\nHost: localhost\r\nContent-Length : 5\r\n\r\nabcde",
		"target without path": "GET srv.php HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"TRACE":               "TRACE /srv.php HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"CONNECT":             "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
		"larger than allowed": "POST /echo.php HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n",
		"long head":           "GET /srv.php HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("x", 1<<17) + "\r\n\r\n",
	} {
		c := dial(t, "tcp", s.http)
		a, err := exchange(c, request)
		switch {
		case err != nil && name != "long head": // the rest of a long head can reset the connection
			t.Errorf("%s: %v", name, err)
		case err == nil && name == "length and chunked" && a.StatusCode == 200:
			// RFC 9112, 6.3: chunked wins when both stand there, but the connection must close.
			if rest, err := exchange(c, target("/answer.php?body=second", "", "")); err == nil {
				t.Errorf("%s: another response on the connection: %.100q", name, rest.body)
			}
		case err == nil && (a.StatusCode < 400 || a.StatusCode > 501):
			t.Errorf("%s: status %d: %.100q", name, a.StatusCode, a.body)
		}
	}
}

func TestEnvironmentOfPHPIsClean(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{env: []string{
		"TQ_SECRET=hunter2", "http_proxy=http://evil.example", "HTTP_PROXY=http://evil.example", "GODEBUG=madvdontneed=1",
		"LD_LIBRARY_PATH=/nowhere", "TQSERVER_LOG__LEVEL=info",
	}})
	got := decode[seen](t, must(t, newClient(t), 200, "GET", "http://"+s.http+"/srv.php", nil).body)
	if got.Env["APP_ENV"] != "testing" {
		t.Errorf("the worker's own env is missing: %v", got.Env)
	}
	for name := range got.Env {
		if _, param := got.Server[name]; !param && name != "APP_ENV" && name != "PATH" && name != "TMPDIR" && !strings.HasPrefix(name, "PHP_FCGI_") {
			t.Errorf("getenv shows %s=%q", name, got.Env[name])
		}
	}
	tree := s.onePHP(t)
	for _, p := range append(tree.children, tree.parent) {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		if err != nil {
			t.Fatal(err)
		}
		for variable := range strings.SplitSeq(string(environ), "\x00") {
			name, _, _ := strings.Cut(variable, "=")
			switch {
			case name == "", name == "PATH", name == "TMPDIR", name == "APP_ENV", strings.HasPrefix(name, "PHP_FCGI_"):
			default:
				t.Errorf("%v has %s in its environment", p, variable)
			}
		}
		if strings.Contains(p.cmdline, "allow_url_include") {
			t.Errorf("command line of a child: %s", p.cmdline)
		}
	}
}

func TestChildrenInheritNoSocketOfTheServer(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	own := socketsOf(s.pid)
	if len(own) == 0 {
		t.Fatal("the server has no sockets")
	}
	for _, p := range s.family() {
		for inode := range socketsOf(p.pid) {
			if own[inode] {
				t.Errorf("%v holds %s of the server", p, inode)
			}
		}
	}
}

func socketsOf(pid int) map[string]bool {
	found := map[string]bool{}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, err := os.Readlink(dir + "/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			found[to] = true
		}
	}
	return found
}

func TestAdminSettingsCannotBeChangedByScripts(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{
		"workers/app/config/worker.yaml": `
path: /
type: php
document_root: public
php:
  settings: {display_errors: "0"}
  admin_settings: {memory_limit: 100M, open_basedir: public}
  pool: {max_workers: 1}
`,
		"workers/app/public/.user.ini":  "memory_limit=2G\nopen_basedir=/\ndisplay_errors=1\n",
		"workers/app/public/sub/ok.php": "<?php require '../ini.php';",
	}})
	type ini struct {
		MemoryLimit string `json:"memory_limit"`
		After       string
		Set         any
		BasedirSet  any `json:"basedir_set"`
		Basedir     string
		Outside     bool
		Display     string `json:"display_errors"`
	}
	for _, path := range []string{"/ini.php", "/sub/ok.php"} {
		got := decode[ini](t, must(t, newClient(t), 200, "GET", "http://"+s.http+path, nil).body)
		if got.MemoryLimit != "100M" || got.After != "100M" || got.Set != false {
			t.Errorf("%s: a script could change memory_limit: %+v", path, got)
		}
		if !strings.HasPrefix(got.Basedir, s.path("workers/app/public")) || got.BasedirSet != false || got.Outside {
			t.Errorf("%s: a script could leave open_basedir: %+v", path, got)
		}
		if got.Display != "1" {
			t.Errorf("%s: a script could not change an ordinary setting: %+v", path, got)
		}
	}
}
