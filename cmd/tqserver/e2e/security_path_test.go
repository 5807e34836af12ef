package e2e

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// planted is PHP in places from which it must never run, and whose text must
// not be shown where it looks like source. The mark of a run is not in the text.
const planted = `<?php /* SOURCE-OF-PLANTED */ echo 'EXE', 'CUTED'; `

// ran and source are what no response may contain.
const (
	ran    = "EXECUTED"
	source = "SOURCE-OF-"
)

// plant makes files with PHP of every misleading name, and secrets.
func plant() map[string]string {
	files := map[string]string{
		"outside.php":             planted, // beside the workers
		"workers/app/private.php": planted, // beside the document root
		"workers/app/secret.txt":  source,
	}
	for _, name := range []string{
		"a.jpg", "a.php.jpg", "b.phtml", "b.php5", "b.phar", "b.phps", "b.PHP", "b.pHp", "c.inc", "c.php~", "c.php.bak", "c.php.orig", "c.php.swp",
		"ȺȺȺȺshell.php.txt", "x.ⓟⓗⓟ", "x﹒php", "x．php", "x.ｐhp", "shell.php\n", "d.php ", "d.php.", ".hidden.php", "sub/.env", ".env", ".git/config",
		".user.ini.php", ".htaccess", "sub/.git/HEAD.php", "upload.php.png", "e.php\\x.jpg", "folder.php/inner.txt",
	} {
		files["workers/app/public/"+name] = planted
	}
	return files
}

func TestOnlyScriptsRunAndNoSourceIsShown(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: plant()})
	public := s.path("workers/app/public")
	for link, to := range map[string]string{
		"passwd.txt": "/etc/passwd", "out.php": s.path("outside.php"), "dir": "/etc", "up": "..", "page.txt": "srv.php", "in.php": "answer.php",
	} {
		if err := os.Symlink(to, filepath.Join(public, link)); err != nil {
			t.Fatal(err)
		}
	}
	refused := []string{
		// S03: a script's extension behind a file that is none
		"/a.jpg/x.php", "/a.jpg/.php", "/a.jpg/x.php/y", "/a.jpg%2fx.php", "/upload.php.png/x.php", "/style.css/x.php", "/folder.php", "/folder.php/x.php",
		// S03: almost a script
		"/srv.PHP", "/SRV.php", "/srv.php%20", "/srv.php.", "/srv.php%0a", "/srv.php%0d%0a", "/srv.php%09", "/srv.php::$DATA", "/srv.php%5c", "/b.phtml", "/b.php5",
		"/b.phar", "/b.phps", "/b.PHP", "/b.pHp", "/shell.php%0a", "/d.php%20", "/d.php.",
		// S01, S02: case and width folding
		"/" + url.PathEscape("ȺȺȺȺshell.php.txt.php"), "/" + url.PathEscape("ȺȺȺȺshell.php.txt.php/x"),
		"/" + url.PathEscape("x.ⓟⓗⓟ/y.php"), "/srv" + url.PathEscape("﹒php"), "/srv" + url.PathEscape("．php"), "/srv.%ef%bd%90hp", "/srv.php%c0%80",
		// S05: NUL and control bytes
		"/a.jpg%00.php", "/srv.php%00.jpg", "/%00", "/srv.php%00", "/srv%01.php",
		// S06: traversal
		"/../private.php", "/%2e%2e/private.php", "/..%2fprivate.php", "/..%2f..%2f..%2foutside.php", "/sub/..%2f..%2fprivate.php", "/sub/../../private.php",
		"/%2e%2e%2f%2e%2e%2f%2e%2e%2foutside.php", "/..%5cprivate.php", "/..\\private.php", "/....//private.php", "/%252e%252e/private.php", "/..;/private.php",
		"/srv.php/../../private.php/", "//etc/passwd", "/../secret.txt", "/..%2fsecret.txt", "/..%2fconfig/worker.yaml", "/../../../config/tqserver.yaml",
		"/%c0%ae%c0%ae/private.php", "/.%2e/private.php", "/up/private.php", "/up/secret.txt",
		// S07: symlinks out of the document root
		"/passwd.txt", "/out.php", "/dir/passwd", "/dir/",
		// S08: dotfiles and source under other names
		"/.env", "/sub/.env", "/.git/config", "/.user.ini", "/.user.ini.php", "/.htaccess", "/.hidden.php", "/sub/.git/HEAD.php", "/%2eenv", "/%2Egit/config",
		"/c.php~", "/c.php.bak", "/c.php.orig", "/c.php.swp", "/c.inc", "/page.txt", "/sub/", "/data/", "/sub",
	}
	// Files that are no scripts: shown as they are, or refused, never run.
	shown := []string{
		"/a.jpg", "/a.php.jpg", "/upload.php.png", "/" + url.PathEscape("ȺȺȺȺshell.php.txt"), "/" + url.PathEscape("x.ⓟⓗⓟ"),
		"/" + url.PathEscape("x﹒php"), "/" + url.PathEscape("x．php"), "/" + url.PathEscape("x.ｐhp"), "/folder.php/inner.txt", "/e.php%5cx.jpg",
	}
	for _, f := range s.fronts(t) {
		if f.fpm {
			continue // there nginx serves files and chooses scripts
		}
		t.Run(f.name, func(t *testing.T) {
			for _, path := range slices.Concat(refused, shown) {
				a, err := raw(t, f.address, target(path, "", ""))
				if err != nil {
					t.Errorf("%s: %v", path, err)
					continue
				}
				secret := strings.Contains(a.body, "root:") || strings.Contains(a.body, "type: php")
				if strings.Contains(a.body, ran) || secret {
					t.Errorf("%s: status %d, ran or told a secret: %.200q", path, a.StatusCode, a.body)
				}
				if slices.Contains(refused, path) && (a.StatusCode < 400 || a.StatusCode >= 500 || strings.Contains(a.body, source)) {
					t.Errorf("%s: status %d, want 4xx: %.100q", path, a.StatusCode, a.body)
				}
			}
			// A path that is cleaned leads to where it says.
			for path, want := range map[string]string{
				"/sub/../answer.php?body=clean": "clean", "/./answer.php?body=clean": "clean", "//answer.php?body=clean": "clean",
				"/%61nswer.php?body=clean": "clean", "/in.php?body=clean": "clean",
			} {
				a, err := raw(t, f.address, target(path, "", ""))
				if err != nil || a.StatusCode != 200 || a.body != want {
					t.Errorf("%s: %v %v %.100q", path, err, a.Response, a.body)
				}
			}
		})
	}
}

func TestSourceOfScriptsIsNeverShown(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "FOO"} {
				for _, path := range []string{
					"/srv.php", "/srv.php/", "/srv.php/x", "/srv.php?-s", "/srv.php?-d+allow_url_include%3d1+-d+auto_prepend_file%3dphp://input",
					"/srv.php?%ADd+allow_url_include%3d1", "/srv.php?--", "/srv.php?-h",
				} {
					a, err := do(c, method, f.url(path), nil, "Range", "bytes=0-99", "If-None-Match", "*", "If-Modified-Since", "Fri, 31 Dec 2038 23:59:59 GMT")
					if err != nil {
						t.Errorf("%s %s: %v", method, path, err)
						continue
					}
					if strings.Contains(a.body, "<?php") || strings.Contains(a.body, source) || strings.Contains(a.body, "<code>") || strings.Contains(a.body, "Usage:") {
						t.Errorf("%s %s shows source: %.200q", method, path, a.body)
					}
					if method == http.MethodGet {
						if got := decode[seen](t, a.body); got.Include != "" && got.Include != "0" || got.Prepend != "" {
							t.Errorf("%s changed PHP's settings: %q %q", path, got.Include, got.Prepend)
						}
					}
				}
			}
		})
	}
}

// S15, CVE-2019-11043: a newline in PATH_INFO made PHP-FPM write before a
// buffer. The query's length decides where; a child that crashes shows.
func TestNewlineInThePathCrashesNoChild(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	before := s.onePHP(t)
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			for length := 1600; length <= 1800; length += 10 {
				for _, path := range []string{"/srv.php/PHP%0Ais_the_lang.php", "/srv.php%0Ax.php", "/srv.php/%0A", "/%0A/srv.php"} {
					a, err := raw(t, f.address, target(path+"?"+strings.Repeat("Q", length), "X-Filler: "+strings.Repeat("f", 50), "", ""))
					if err != nil || a.StatusCode >= 500 {
						t.Fatalf("%s with a query of %d bytes: %v %v", path, length, err, a.Response)
					}
				}
			}
		})
	}
	if after := s.onePHP(t); !before.same(after) {
		t.Errorf("children before %v\nand after %v", before, after)
	}
}
