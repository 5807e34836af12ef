package e2e

import (
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const dokuwikiPackage = "/usr/share/dokuwiki"

// copyTree copies a folder of a package; what symlinks lead to is copied too.
func copyTree(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		if _, lerr := os.Lstat(from); lerr == nil && errors.Is(err, fs.ErrNotExist) {
			return nil // a link that leads nowhere
		}
		return err
	}
	if !info.IsDir() {
		in, err := os.Open(from)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.Create(to)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyTree(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// dokuwiki installs Debian's package into a worker's folder and returns the
// folder of the server. PATH_INFO makes the wiki's URLs (userewrite 2).
func dokuwiki(t *testing.T) string {
	t.Helper()
	if !exists(dokuwikiPackage + "/doku.php") {
		skip(t, "the package dokuwiki is not installed")
	}
	dir := folder(t, options{workers: []string{}, files: map[string]string{
		"workers/wiki/config/worker.yaml": `
path: /wiki
type: php
document_root: public/wiki
php:
  admin_settings: {memory_limit: 128M}
  settings: {session.save_path: ` + "SESSIONS" + `}
  pool: {max_workers: 4}
`,
	}})
	wiki := dir + "/workers/wiki"
	yaml, _ := os.ReadFile(wiki + "/config/worker.yaml")
	write(t, wiki+"/config/worker.yaml", strings.Replace(string(yaml), "SESSIONS", wiki+"/sessions", 1))
	for from, to := range map[string]string{dokuwikiPackage: "public/wiki", "/etc/dokuwiki": "conf", "/var/lib/dokuwiki/data": "data"} {
		if err := copyTree(from, filepath.Join(wiki, to)); err != nil {
			t.Fatal(err)
		}
	}
	preload := wiki + "/public/wiki/inc/preload.php"
	if err := errors.Join(os.Rename(preload, wiki+"/public/wiki/inc/preload-debian.php"), os.MkdirAll(wiki+"/sessions", 0o777)); err != nil {
		t.Fatal(err)
	}
	write(t, preload, fmt.Sprintf(`<?php
if (!defined('DOKU_MAIN_CONF')) define('DOKU_MAIN_CONF', '%[1]s/conf/');
if (!defined('DOKU_CONF')) define('DOKU_CONF', '%[1]s/conf/');
include __DIR__ . '/preload-debian.php';
`, wiki))
	write(t, wiki+"/conf/local.php", fmt.Sprintf(`<?php
$conf['title'] = 'Wiki of the tests';
$conf['useacl'] = 1;
$conf['superuser'] = '@admin';
$conf['savedir'] = '%s/data';
$conf['userewrite'] = 2;
$conf['updatecheck'] = 0;
`, wiki))
	write(t, wiki+"/conf/acl.auth.php", "# <?php exit()?>\n*\t@ALL\t8\n")
	write(t, wiki+"/conf/users.auth.php", "# <?php exit()?>\n")
	return dir
}

// field is the value of a form's hidden input.
func field(t *testing.T, page, name string) string {
	t.Helper()
	for _, tag := range regexp.MustCompile(`<input[^>]*>`).FindAllString(page, -1) {
		if strings.Contains(tag, `name="`+name+`"`) {
			if value := regexp.MustCompile(`value="([^"]*)"`).FindStringSubmatch(tag); value != nil {
				return html.UnescapeString(value[1])
			}
		}
	}
	return ""
}

// Not parallel with the measuring tests, but with all others.
func TestDokuWiki(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{dir: dokuwiki(t)})
	public := s.path("workers/wiki/public")
	n := s.startNginx(t, fmt.Sprintf(byRoute, "tcp"), fmt.Sprintf(plainFPM, public, "unix"), fmt.Sprintf(snippet, public))
	for name, address := range map[string]string{"http": s.http, "nginx by route": n.addresses[0], "nginx as for PHP-FPM": n.addresses[1], "nginx with Debian's snippet": n.addresses[2]} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			c.Jar = jar
			base := "http://" + address + "/wiki"
			a := must(t, c, 200, "GET", base+"/doku.php", nil)
			if !strings.Contains(a.body, "Wiki of the tests") || !strings.Contains(a.body, "/wiki/lib/exe/css.php") {
				t.Fatalf("no start page: %.2000s", a.body)
			}
			if a := must(t, c, 200, "GET", base+"/lib/exe/css.php", nil); !strings.HasPrefix(a.Header.Get("Content-Type"), "text/css") || len(a.body) < 10_000 {
				t.Errorf("css.php: %s, %d bytes", a.Header.Get("Content-Type"), len(a.body))
			}
			if a := must(t, c, 200, "GET", base+"/doku.php/wiki:welcome", nil); !strings.Contains(a.body, "is now up and running") {
				t.Errorf("wiki:welcome is not there: %.500s", a.body)
			}

			page := "e2e:" + strings.ToLower(unique(t))
			at := base + "/doku.php/" + page
			if a := must(t, c, 200, "GET", at, nil); !strings.Contains(a.body, "This topic does not exist yet") {
				t.Errorf("a new page: %.500s", a.body)
			}
			for revision := 1; revision <= 2; revision++ {
				form := must(t, c, 200, "GET", at+"?do=edit", nil).body
				token := field(t, form, "sectok")
				text := fmt.Sprintf("====== Revision %d of %s ======\n\nÄ text with **bold** & <angles> %s\n", revision, page, strings.Repeat("long ", 20_000))
				post := url.Values{
					"sectok": {token}, "id": {page}, "rev": {"0"}, "date": {field(t, form, "date")}, "prefix": {field(t, form, "prefix")}, "suffix": {""},
					"changecheck": {field(t, form, "changecheck")}, "target": {"section"}, "wikitext": {text}, "summary": {"by the tests"}, "do[save]": {"1"},
				}
				saved, err := do(c, "POST", base+"/doku.php", strings.NewReader(post.Encode()), "Content-Type", "application/x-www-form-urlencoded")
				if err != nil || saved.StatusCode != 302 {
					t.Fatalf("saving: %v %v %.2000s", err, saved.Response, saved.body)
				}
				to, err := saved.Location()
				if err != nil || !strings.HasPrefix(to.Path, "/wiki/doku.php/") {
					t.Fatalf("after saving: %v %v", to, err)
				}
				// Debian's fastcgi_params have HTTP_HOST without the port.
				read := must(t, c, 200, "GET", "http://"+address+to.Path, nil).body
				if !strings.Contains(read, fmt.Sprintf("Revision %d of ", revision)) || !strings.Contains(read, "<strong>bold</strong>") || !strings.Contains(read, "Ä text") {
					t.Errorf("the saved page is not what was written: %.2000s", read)
				}
			}
			if a := must(t, c, 200, "GET", at+"?do=revisions", nil); !strings.Contains(a.body, "by the tests") {
				t.Errorf("no old revisions: %.500s", a.body)
			}
		})
	}
}
