package e2e

import (
	"bytes"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// How-tos for PHP-FPM, with TQServer's addresses in place of PHP-FPM's: files
// by the web server, scripts by FastCGI. {public} is the document root of
// worker app.

// apacheSites. Apache refuses to serve as root, so it becomes nobody, whose
// group may use the socket (mode 0660).
const apacheSites = `
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule mime_module {modules}/mod_mime.so
LoadModule rewrite_module {modules}/mod_rewrite.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_fcgi_module {modules}/mod_proxy_fcgi.so
User "#65534"
Group "#{group}"
DefaultRuntimeDir {dir}
PidFile {dir}/pid
ErrorLog {dir}/error.log
TypesConfig /dev/null
AddType text/css .css
ServerName localhost
StartServers 1
ServerLimit 2
MaxRequestWorkers 50
Listen {0}
Listen {1}
Listen {2}
Listen {3}
<Location />
	CGIPassAuth On
</Location>
DocumentRoot {public}
DirectoryIndex index.php
AcceptPathInfo On
<VirtualHost {0}>
	<FilesMatch "\.php$">
		SetHandler "proxy:unix:{unix}|fcgi://localhost/"
	</FilesMatch>
</VirtualHost>
<VirtualHost {1}>
	<Proxy "fcgi://{tcp}/" enablereuse=on>
	</Proxy>
	<FilesMatch "\.php$">
		SetHandler "proxy:fcgi://{tcp}"
	</FilesMatch>
</VirtualHost>
<VirtualHost {2}>
	ProxyPassMatch "^/(.*\.php(/.*)?)$" "fcgi://{tcp}{public}/$1"
</VirtualHost>
<VirtualHost {3}>
	<FilesMatch "\.php$">
		SetHandler "proxy:unix:{unix}|fcgi://localhost/"
	</FilesMatch>
	<Directory {public}>
		RewriteEngine On
		RewriteRule ^run/(.*)$ srv.php/$1 [L]
		RewriteCond %{REQUEST_FILENAME} !-f
		RewriteRule !^srv\.php srv.php [L]
	</Directory>
</VirtualHost>
`

const caddySites = `{
	admin off
	auto_https off
}
http://{0} {
	bind 127.0.0.1
	root * {public}
	php_fastcgi unix/{unix} {
		try_files {path} {path}/index.php
	}
	file_server
}
http://{1} {
	bind 127.0.0.1
	root * {public}
	php_fastcgi {tcp}
	file_server
}
`

// lighttpdSites. With check-local, the default, lighttpd looks whether the
// script exists, and splits PATH_INFO off.
const lighttpdSites = `
server.document-root = "{public}"
server.errorlog = "{dir}/error.log"
server.upload-dirs = ( "{dir}" )
server.bind = "127.0.0.1"
server.port = {port0}
server.modules = ( "mod_fastcgi" )
index-file.names = ( "index.php" )
mimetype.assign = ( ".css" => "text/css" )
fastcgi.server = ( ".php" => (( "socket" => "{unix}", "broken-scriptfilename" => "enable" )) )
$SERVER["socket"] == "{1}" {
	fastcgi.server = ( ".php" => (( "host" => "127.0.0.1", "port" => {tcpport}, "check-local" => "disable" )) )
}
`

// withoutFiles is a server that runs scripts and nothing else, so that files
// are the web server's.
func withoutFiles(t *testing.T) *server {
	t.Helper()
	return start(t, options{files: map[string]string{
		"config/tqserver.yaml":        strings.Replace(baseConfig, "static:\n", "", 1),
		"workers/app/public/evil.jpg": planted,
	}})
}

func TestBehindApache(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := withoutFiles(t)
	at := s.startWebServer(t, 4, strings.ReplaceAll(apacheSites, "{modules}", apacheModules(t)), []string{"apache2", "httpd"}, "-d", "{dir}", "-f", "{dir}/conf", "-DFOREGROUND")
	for i, name := range []string{"SetHandler unix", "SetHandler tcp", "ProxyPassMatch"} {
		t.Run(name, func(t *testing.T) { s.visitSite(t, at[i], true) })
	}
	t.Run("RewriteRule", func(t *testing.T) {
		c := newClient(t)
		got := decode[seen](t, must(t, c, 200, "GET", "http://"+at[3]+"/pretty/url?x=1", nil).body)
		wantServer(t, got, map[string]string{
			"SCRIPT_NAME": "/srv.php", "PHP_SELF": "/srv.php", "REQUEST_URI": "/pretty/url?x=1", "QUERY_STRING": "x=1",
			"REDIRECT_URL": "/pretty/url", "SCRIPT_FILENAME": s.path("workers/app/public/srv.php"),
		})
		// PATH_TRANSLATED is the picture then, and php-cgi prefers that to
		// SCRIPT_FILENAME when there is a REDIRECT_URL.
		got = decode[seen](t, must(t, c, 200, "GET", "http://"+at[3]+"/run/evil.jpg", nil).body)
		wantServer(t, got, map[string]string{
			"SCRIPT_NAME": "/srv.php", "PATH_INFO": "/evil.jpg", "REQUEST_URI": "/run/evil.jpg", "REDIRECT_URL": "/run/evil.jpg",
			"SCRIPT_FILENAME": s.path("workers/app/public/srv.php"),
		})
	})
}

// TestRedirectURLRunsNoOtherFile is the same without a web server, so that
// the params are the worst that can be.
func TestRedirectURLRunsNoOtherFile(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := withoutFiles(t)
	evil := s.path("workers/app/public/evil.jpg")
	for name, more := range map[string][]string{
		"as Apache": {"REDIRECT_URL", "/run/evil.jpg", "PATH_INFO", "/evil.jpg", "PATH_TRANSLATED", evil},
		"spellings": {"redirect_url", "/x", "REDIRECT.URL", "/x", "REDIRECT URL", "/x", "REDIRECT[URL", "/x", "PATH_INFO", "/evil.jpg", "PATH_TRANSLATED", evil},
		"twice":     {"REDIRECT_URL", "/x", "REDIRECT_URL", "/y", "PATH_INFO", "/evil.jpg", "PATH_TRANSLATED", evil, "ORIG_PATH_TRANSLATED", evil},
		"no info":   {"REDIRECT_URL", "/x", "PATH_TRANSLATED", evil},
	} {
		for network, at := range s.sockets() {
			a, err := fcgi(t, at.Network(), at.String(), s.scriptParams("/srv.php", more...)...)
			if err != nil || strings.Contains(a.stdout, ran) {
				t.Errorf("%s, %s: %v, %.300q", name, network, err, a.stdout)
				continue
			}
			if a.status() == 400 {
				continue // refused is as good
			}
			wantServer(t, decode[seen](t, a.body()), map[string]string{"SCRIPT_FILENAME": s.path("workers/app/public/srv.php"), "SCRIPT_NAME": "/srv.php"})
		}
	}
}

func TestBehindCaddy(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := withoutFiles(t)
	at := s.startWebServer(t, 2, caddySites, []string{"caddy"}, "run", "--adapter", "caddyfile", "--config", "{dir}/conf")
	t.Run("php_fastcgi unix", func(t *testing.T) { s.visitSite(t, at[0], true) })
	t.Run("php_fastcgi tcp", func(t *testing.T) {
		s.visitSite(t, at[1], false)
		// What names no file is index.php's.
		if a := must(t, newClient(t), 200, "GET", "http://"+at[1]+"/no/such/file", nil); a.body != "index of the root" {
			t.Errorf("front controller: %q", a.body)
		}
	})
}

func TestBehindLighttpd(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := withoutFiles(t)
	at := s.startWebServer(t, 2, lighttpdSites, []string{"lighttpd"}, "-D", "-f", "{dir}/conf")
	t.Run("unix", func(t *testing.T) { s.visitSite(t, at[0], true) })
	t.Run("tcp, check-local off", func(t *testing.T) {
		c := newClient(t)
		got := decode[seen](t, must(t, c, 200, "GET", "http://"+at[1]+"/srv.php?x=1", nil).body)
		wantServer(t, got, map[string]string{"SCRIPT_NAME": "/srv.php", "QUERY_STRING": "x=1", "SCRIPT_FILENAME": s.path("workers/app/public/srv.php")})
		must(t, c, 404, "GET", "http://"+at[1]+"/missing.php", nil)
	})
}

// visitSite is what a PHP application needs of a web server.
func (s *server) visitSite(t *testing.T, at string, missing bool) {
	t.Helper()
	c := newClient(t)
	base := "http://" + at
	public := s.path("workers/app/public")
	got := decode[seen](t, must(t, c, 200, "GET", base+"/srv.php?x=1&y%5B%5D=%26", nil, "Authorization", "Basic dXNlcjpzZWNyZXQ=").body)
	wantServer(t, got, map[string]string{
		"SCRIPT_NAME": "/srv.php", "PHP_SELF": "/srv.php", "QUERY_STRING": "x=1&y%5B%5D=%26", "REQUEST_URI": "/srv.php?x=1&y%5B%5D=%26",
		"DOCUMENT_ROOT": public, "SCRIPT_FILENAME": public + "/srv.php", "REQUEST_METHOD": "GET", "REMOTE_ADDR": "127.0.0.1",
		"SERVER_PORT": at[strings.LastIndex(at, ":")+1:], "HTTP_HOST": at, "PHP_AUTH_USER": "user", "PHP_AUTH_PW": "secret",
	})
	if v := got.server("PATH_INFO"); v != "(absent)" && v != "" {
		t.Errorf("PATH_INFO without one is %q", v)
	}
	got = decode[seen](t, must(t, c, 200, "GET", base+"/srv.php/a/b%20c?x=1", nil).body)
	wantServer(t, got, map[string]string{
		"PATH_INFO": "/a/b c", "SCRIPT_NAME": "/srv.php", "PHP_SELF": "/srv.php/a/b c", "REQUEST_URI": "/srv.php/a/b%20c?x=1", "QUERY_STRING": "x=1",
		"DOCUMENT_ROOT": public, "SCRIPT_FILENAME": public + "/srv.php",
	})
	form := url.Values{"name": {"Jane Dœ"}, "list[]": {"1", "2"}}
	got = decode[seen](t, must(t, c, 200, "POST", base+"/srv.php", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded").body)
	if d := cmp.Diff(map[string]any{"name": "Jane Dœ", "list": []any{"1", "2"}}, got.Post); d != "" {
		t.Error(d)
	}
	var body bytes.Buffer
	content := noise(5 << 20)
	upload := multipart.NewWriter(&body)
	part, _ := upload.CreateFormFile("file", "a.bin")
	_, _ = part.Write(content)
	_ = upload.Close()
	if a := must(t, c, 200, "POST", base+"/upload.php", &body, "Content-Type", upload.FormDataContentType()); !strings.Contains(a.body, sum(content)) {
		t.Errorf("upload: %s", a.body)
	}
	if a := must(t, c, 200, "GET", base+"/style.css", nil); !strings.HasPrefix(a.body, "body {") || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/css") {
		t.Errorf("file: %v %q", a.Header, a.body)
	}
	if a := must(t, c, 200, "GET", base+"/", nil); a.body != "index of the root" {
		t.Errorf("index: %q", a.body)
	}
	if missing {
		must(t, c, 404, "GET", base+"/missing.php", nil)
	}
	for _, path := range []string{"/evil.jpg/x.php", "/evil.jpg%00.php", "/evil.jpg/.php"} {
		if a, err := raw(t, at, target(path, "", "")); err == nil && strings.Contains(a.body, ran) {
			t.Errorf("%s was run", path)
		}
	}
}

func wantServer(t *testing.T, got seen, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if v := got.server(name); v != value {
			t.Errorf("%s is %q, want %q", name, v, value)
		}
	}
}
