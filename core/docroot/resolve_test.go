package docroot_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/core/docroot"
)

// long is a segment that no file system takes.
var long = strings.Repeat("a", 256)

func TestResolve(t *testing.T) {
	dir := plant(t)
	root := mustNew(t, options(dir))
	link := filepath.Join(dir, "current")
	if err := os.Symlink("public", link); err != nil {
		t.Fatal(err)
	}
	o := options(dir)
	o.Root = link
	linked := mustNew(t, o)

	for _, c := range []struct{ name, path, want string }{
		{"root", "/", "script public/index.php /index.php"},
		{"prefix without slash", "", "redirect /"},
		{"script", "/hello.php", "script public/hello.php /hello.php"},
		{"script with a space", "/a b.php", "script public/a b.php /a b.php"},
		{"script with a plus", "/x+y.php", "script public/x+y.php /x+y.php"},
		{"static", "/style.css", "static public/style.css"},
		{"static without extension", "/README", "static public/README"},
		{"missing", "/nothing", "404"},
		{"missing script", "/nothing.php", "404"},
		{"missing below a file", "/style.css/x", "404"},
		{"file with a slash", "/style.css/", "404"},

		{"path info", "/hello.php/extra", "script public/hello.php /hello.php /extra"},
		{"path info, a slash", "/hello.php/", "script public/hello.php /hello.php /"},
		{"path info like dokuwiki", "/doku.php/wiki/syntax", "script public/doku.php /doku.php /wiki/syntax"},
		{"path info with hidden names, as repository browsers have", "/hello.php/tree/.gitignore", "script public/hello.php /hello.php /tree/.gitignore"},
		{"path info that looks like a script", "/hello.php/x.php/y", "script public/hello.php /hello.php /x.php/y"},
		{"path info with a long segment", "/hello.php/" + long, "script public/hello.php /hello.php /" + long},
		{"first script from the left that exists", "/dir.php/inner.php/x.php", "script public/dir.php/inner.php /dir.php/inner.php /x.php"},
		{"static below a folder named like a script", "/dir.php/deep.txt", "static public/dir.php/deep.txt"},
		{"folder named like a script", "/dir.php", "404"},

		{"folder", "/blog/", "static public/blog/index.html"},
		{"folder without slash", "/blog", "redirect /blog/"},
		{"folder with both, the order decides", "/both/", "script public/both/index.php /both/index.php"},
		{"folder without index", "/empty/", "404"},
		{"folder without index, without slash", "/empty", "404"},
		{"missing folder", "/nothing/", "404"},
		{"no redirect to another host", "//blog", "redirect /blog/"},

		{"S03 path info behind an image", "/uploads/a.jpg/x.php", "404"},
		{"S03 hidden script behind an image", "/uploads/a.jpg/.php", "404"},
		{"S03 image", "/uploads/a.jpg", "static public/uploads/a.jpg"},
		{"S03 two extensions", "/uploads/a.php.jpg", "static public/uploads/a.php.jpg"},
		{"S03 two extensions, path info", "/uploads/a.php.jpg/x", "404"},
		{"S03 newline", "/uploads/a.php\n", "400"},
		{"S03 newline as path info", "/hello.php/a\nb", "400"},
		{"S03 space", "/uploads/a.php ", "403"},
		{"S03 dot", "/uploads/a.php.", "403"},
		{"S03 upper case", "/uploads/a.PHP", "403"},
		{"S03 upper case, path info", "/uploads/a.PHP/x", "404"},
		{"S03 upper case of a script that exists", "/hello.PHP", "404"},
		{"S03 phtml", "/uploads/a.phtml", "403"},
		{"S03 mixed case", "/uploads/a.pHp5", "403"},

		{"S01 a name that grows when folded", "/ȺȺȺȺshell.php.txt.php", "404"},
		{"S01 the same, path info", "/ȺȺȺȺshell.php.txt.php/x", "404"},
		{"S01 the text", "/ȺȺȺȺshell.php.txt", "static public/ȺȺȺȺshell.php.txt"},
		{"S01 script", "/ȺȺȺȺok.php/ȺȺȺȺ", "script public/ȺȺȺȺok.php /ȺȺȺȺok.php /ȺȺȺȺ"},
		{"S02 circled", "/uploads/x.ⓟⓗⓟ", "static public/uploads/x.ⓟⓗⓟ"},
		{"S02 circled, path info", "/uploads/x.ⓟⓗⓟ/y.php", "404"},
		{"S02 small full stop", "/uploads/x﹒php/y", "404"},
		{"S02 fullwidth full stop", "/uploads/x．php/y", "404"},
		{"S02 fullwidth p", "/uploads/x.ｐhp/y", "404"},
		{"S02 dotted h", "/uploads/x.pḣp/y", "404"},
		{"not UTF-8", "/uploads/\xff\xfe.php", "404"},

		{"S05 NUL", "/hello.php\x00.jpg", "400"},
		{"S05 NUL in path info", "/hello.php/\x00", "400"},
		{"S05 carriage return", "/hello.php\r", "400"},
		{"S05 escape", "/\x1b[0m", "400"},
		{"S05 delete", "/\x7f", "400"},

		{"S06 up", "/../secret/passwd", "400"},
		{"S06 up, later", "/blog/../../secret/passwd", "400"},
		{"S06 up to the root itself", "/..", "400"},
		{"S06 up inside", "/blog/../hello.php", "script public/hello.php /hello.php"},
		{"S06 up inside, from nowhere", "/nowhere/../hello.php", "script public/hello.php /hello.php"},
		{"S06 up at the end", "/blog/x/..", "static public/blog/index.html"},
		{"S06 up out of path info", "/hello.php/../style.css", "static public/style.css"},
		{"S06 one dot", "/./hello.php", "script public/hello.php /hello.php"},
		{"S06 one dot at the end", "/blog/.", "static public/blog/index.html"},
		{"S06 slashes", "//blog///post.php//x", "script public/blog/post.php /blog/post.php /x"},
		{"S06 encoded twice", "/%2e%2e/secret/passwd", "404"},
		{"S06 a name with percent signs", "/%2e%2e.txt", "static public/%2e%2e.txt"},
		{"S06 percent", "/50%.txt", "static public/50%.txt"},
		{"S06 backslashes", `/..\secret\passwd`, "404"},
		{"S06 backslashes, later", `/blog\..\..\secret\passwd`, "404"},
		{"S06 backslash is a byte", `/file\name.txt`, `static public/file\name.txt`},
		{"S06 three dots", "/.../secret", "404"},
		{"S06 dots and a slash in the middle", "/....//secret/passwd", "404"},
		{"S06 absolute", "//etc/passwd", "404"},
		{"S06 sibling with the same beginning", "/../publicity/near.php", "400"},
		{"no slash", "hello.php", "400"},
		{"too long", "/" + strings.Repeat("a/", 2048), "414"},
		{"as long as can be", strings.Repeat("/a", 2048), "404"},
		{"long segment", "/" + long, "404"},
		{"long script", "/" + long + ".php", "404"},

		{"S07 link inside", "/in-file.txt", "static public/real/data.txt"},
		{"S07 absolute link inside", "/in-abs.txt", "static public/real/data.txt"},
		{"S07 linked folder", "/in-dir/data.txt", "static public/real/data.txt"},
		{"S07 linked folder, script", "/in-dir/run.php/x", "script public/in-dir/run.php /in-dir/run.php /x"},
		{"S07 absolutely linked folder, script", "/in-abs-dir/run.php", "script public/in-abs-dir/run.php /in-abs-dir/run.php"},
		{"S07 linked script", "/in-run.php", "script public/in-run.php /in-run.php"},
		{"S07 link to itself", "/self/self/hello.php", "script public/self/self/hello.php /self/self/hello.php"},
		{"S07 link to itself, folder", "/self", "redirect /self/"},
		{"S07 out", "/out.txt", "403"},
		{"S07 out, script", "/out.php", "403"},
		{"S07 out, relative", "/out-rel.php", "403"},
		{"S07 out, folder", "/out-dir/passwd", "403"},
		{"S07 out, folder, script", "/out-dir/evil.php/x", "403"},
		{"S07 out and back", "/out-back.php", "script public/out-back.php /out-back.php"},
		{"S07 loop", "/loop.php", "404"},
		{"S07 dangling", "/dangling.php", "404"},
		{"S07 dangling text", "/dangling.txt", "404"},

		{"S08 env", "/.env", "404"},
		{"S08 git", "/.git/config", "404"},
		{"S08 user.ini", "/.user.ini", "404"},
		{"S08 hidden script", "/.hidden.php", "404"},
		{"S08 hidden folder", "/.secret/x.php", "404"},
		{"S08 hidden folder, text", "/.secret/x.txt", "404"},
		{"S08 hidden folder itself", "/.git", "404"},
		{"S08 hidden folder, slash", "/.git/", "404"},
		{"S08 hidden below missing script", "/nothing.php/.env", "404"},
		{"S08 editor copy", "/config.php~", "403"},
		{"S08 backup", "/config.php.bak", "403"},
		{"S08 backup of a backup", "/config.php.old.1", "403"},
		{"S08 include", "/lib.inc", "403"},
		{"S08 include, shouting", "/lib.INC.save", "403"},
		{"S08 archive", "/app.phar", "403"},
		{"S08 settings", "/my.ini", "403"},
		{"S08 dump", "/dump.sql", "403"},
		{"S08 environment", "/prod.env", "403"},
		{"S08 autosave", "/#config.php#", "403"},
		{"S08 source", "/source.phps", "403"},
		{"S08 old", "/x.php_old", "403"},
		{"S08 link to a script", "/show.txt", "403"},
		{"S08 link to a hidden file", "/show-env.txt", "403"},
		{"S08 link to a backup", "/show-bak.txt", "403"},
		{"S08 published source", "/uploads/shell.php.txt", "static public/uploads/shell.php.txt"},
		{"well-known", "/.well-known/acme-challenge/token", "static public/.well-known/acme-challenge/token"},
		{"well-known text", "/.well-known/security.txt", "static public/.well-known/security.txt"},
		{"well-known is not for scripts", "/.well-known/x.php", "403"},
		{"well-known hides too", "/.well-known/.secret", "404"},
		{"well-known, not at the top", "/blog/.well-known/x", "404"},
		{"well-known, longer name", "/.well-knownx", "404"},

		{"fifo", "/fifo.txt", "403"},
		{"fifo script", "/fifo.php", "403"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := root.Resolve(c.path)
			if got := answer(t, dir, got, err); got != c.want {
				t.Errorf("Resolve(%.80q) = %s, want %s (%v)", c.path, got, c.want, err)
			}
			// The same root behind a symlink: scripts go by the real name.
			got, err = linked.Resolve(c.path)
			if got := answer(t, dir, got, err); got != c.want {
				t.Errorf("behind a link: Resolve(%.80q) = %s, want %s (%v)", c.path, got, c.want, err)
			}
		})
	}
}

func TestFrontController(t *testing.T) {
	dir := plant(t)
	o := options(dir)
	o.FrontController = "index.php"
	root := mustNew(t, o)
	const front = "script public/index.php /index.php"
	for _, c := range []struct{ path, want string }{
		{"/", front},
		{"", "redirect /"},
		{"/articles/5", front},
		{"/articles/5/", front},
		{"/articles/" + long, front},
		{"/nothing.php", front},
		{"/nothing.css", front},
		{"/hello.php", "script public/hello.php /hello.php"},
		{"/index.php/articles", "script public/index.php /index.php /articles"},
		{"/style.css", "static public/style.css"},
		{"/style.css/x", front},
		{"/uploads/a.jpg/x.php", front},
		{"/blog", "redirect /blog/"},
		{"/empty", front},
		{"/empty/", front},
		{"/.well-known/openid", front},
		{"/.env", "404"},
		{"/tags/.net", "404"},
		{"/config.php~", "403"},
		{"/out.txt", "403"},
		{"/a\x00", "400"},
	} {
		got, err := root.Resolve(c.path)
		if got := answer(t, dir, got, err); got != c.want {
			t.Errorf("Resolve(%.80q) = %s, want %s (%v)", c.path, got, c.want, err)
		}
	}
	o.FrontController = "later.php"
	got, err := mustNew(t, o).Resolve("/x")
	if got := answer(t, dir, got, err); got != "404" {
		t.Errorf("a front controller that is missing: %s", got)
	}
}

func TestSwitchedLinkCountsAtOnce(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"r1/public/a.php", "r2/public/a.php", "r2/public/b.php"} {
		f = filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	current := filepath.Join(dir, "current")
	if err := os.Symlink("r1", current); err != nil {
		t.Fatal(err)
	}
	root := mustNew(t, docroot.Options{Root: filepath.Join(current, "public")})
	if _, err := root.Resolve("/b.php"); status(t, err) != 404 {
		t.Fatalf("before the switch: %v", err)
	}
	now, old := filepath.Join(dir, "r2/public/b.php"), filepath.Join(dir, "r1/public/a.php")
	for range 2 { // the second is remembered
		if got, err := root.Resolve("/a.php"); err != nil || got.Filename != old {
			t.Fatalf("before the switch: %+v, %v", got, err)
		}
		if got, err := root.CheckScript(old, "/a.php", ""); err != nil || got.Filename != old {
			t.Fatalf("before the switch: %+v, %v", got, err)
		}
	}
	if err := os.Symlink("r2", current+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(current+".new", current); err != nil {
		t.Fatal(err)
	}
	got, err := root.Resolve("/b.php")
	if err != nil || got.Filename != filepath.Join(dir, "r2/public/b.php") || got.Root != filepath.Join(dir, "r2/public") {
		t.Errorf("after the switch: %+v, %v", got, err)
	}
	if got, err := root.Resolve("/a.php"); err != nil || got.Root != filepath.Join(dir, "r2/public") {
		t.Errorf("after the switch: %+v, %v", got, err)
	}
	// nginx with $realpath_root names the new release, the old one is refused.
	if got, err = root.CheckScript(now, "/b.php", ""); err != nil || got.Filename != now {
		t.Errorf("the new release by its real path: %+v, %v", got, err)
	}
	if real, err := root.RealPath(); err != nil || real != filepath.Dir(now) {
		t.Errorf("it leads to %s, %v", real, err)
	}
	if _, err = root.CheckScript(old, "/a.php", ""); status(t, err) != 403 {
		t.Errorf("the old release by its real path: %v", err)
	}
}

func TestExtensionsAreExact(t *testing.T) {
	dir := plant(t)
	o := options(dir)
	o.Extensions = []string{".phtml"}
	root := mustNew(t, o)
	for path, want := range map[string]string{
		"/uploads/a.phtml/x": "script public/uploads/a.phtml /uploads/a.phtml /x",
		"/hello.php":         "403", // no script here, and its source is not for show
	} {
		got, err := root.Resolve(path)
		if got := answer(t, dir, got, err); got != want {
			t.Errorf("Resolve(%q) = %s, want %s (%v)", path, got, want, err)
		}
	}
}

func TestNewReportsEverything(t *testing.T) {
	_, err := docroot.New(docroot.Options{
		Root: "relative", Index: []string{"", "a/b", ".x", "a\n"}, FrontController: "../up.php", Extensions: []string{"php", ".", ".a/b"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"absolute", `index ""`, `index "a/b"`, `index ".x"`, `index "a\n"`, "front controller", `"php"`, `"."`, `".a/b"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %s: %v", want, err)
		}
	}
	for _, bad := range []docroot.Options{
		{Root: "/"},
		{Root: t.TempDir() + "/missing"},
		{Root: t.TempDir(), FrontController: "index.html"},
		{Root: t.TempDir(), FrontController: ".hidden.php"},
	} {
		if _, err := docroot.New(bad); err == nil {
			t.Errorf("New(%+v) took it", bad)
		}
	}
}
