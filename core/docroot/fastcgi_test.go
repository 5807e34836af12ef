package docroot_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/core/docroot"
)

func TestCheckScript(t *testing.T) {
	dir := plant(t)
	root := mustNew(t, options(dir))
	type params struct{ file, name, info string }
	for _, c := range []struct {
		name string
		in   params // @ stands for the folder that holds public
		want string
	}{
		{"nginx", params{"@/public/hello.php", "/blog/hello.php", ""}, "script public/hello.php /blog/hello.php"},
		{"nginx with path info", params{"@/public/hello.php", "/hello.php", "/x"}, "script public/hello.php /hello.php /x"},
		{"nginx, root with a slash", params{"@/public//hello.php", "/hello.php", ""}, "script public/hello.php /hello.php"},
		{"nginx without a split", params{"@/public/hello.php/x", "/hello.php/x", ""}, "script public/hello.php /hello.php/x"},
		{"CGI handler, all in path info", params{"@/public/hello.php/x", "", "/site/hello.php/x"}, "script public/hello.php /site/hello.php /x"},
		{"path info as split already", params{"@/public/hello.php/x", "/hello.php", "/x"}, "script public/hello.php /hello.php /x"},
		{"through a link inside", params{"@/public/in-dir/run.php", "/r", ""}, "script public/in-dir/run.php /r"},

		// sapi/fpm/tests/fcgi-env-pif-apache-*.phpt
		{"apache handler", params{"proxy:fcgi://127.0.0.1:9000@/public/hello.php", "/hello.php", ""}, "script public/hello.php /hello.php"},
		{"apache handler, unix socket", params{"proxy:fcgi://localhost@/public/hello.php", "/hello.php", ""}, "script public/hello.php /hello.php"},
		{"apache handler, socket in the name", params{"proxy:unix:/run/x.sock|fcgi://localhost@/public/hello.php", "/hello.php", ""}, "script public/hello.php /hello.php"},
		{"apache handler with path info", params{"proxy:fcgi://[::1]:9000@/public/hello.php", "/hello.php", "/pinfo"}, "script public/hello.php /hello.php /pinfo"},
		{"apache handler with query", params{"proxy:fcgi://h:1@/public/hello.php?q=1", "/hello.php", "/pinfo"}, "script public/hello.php /hello.php /pinfo"},
		{"apache ProxyPass strips the script name", params{"proxy:fcgi://h:1@/public/hello.php/pinfo", "/hello.php/pinfo", ""}, "script public/hello.php /hello.php /pinfo"},
		{"apache ProxyPass, decoding", params{"proxy:fcgi://h:1@/public/x%2By.php/1%202", "/x+y.php/1 2", ""}, "script public/x+y.php /x+y.php /1 2"},
		{"apache ProxyPass, other script name", params{"proxy:fcgi://h:1@/public/hello.php/pinfo", "/other", ""}, "script public/hello.php /other /pinfo"},
		{"apache balancer", params{"proxy:balancer://cluster@/public/hello.php/pinfo", "/hello.php/pinfo", ""}, "script public/hello.php /hello.php /pinfo"},
		{"apache balancer, path info", params{"@/public/hello.php/pinfo", "", "@/public/hello.php/pinfo"}, "script public/hello.php @/public/hello.php /pinfo"},
		{"apache, upper case", params{"PROXY:FCGI://h@/public/hello.php", "/", ""}, "script public/hello.php /"},
		{"apache, NUL", params{"proxy:fcgi://h@/public/hello.php%00.jpg", "/", ""}, "400"},
		{"apache, up", params{"proxy:fcgi://h@/public/%2e%2e/secret/evil.php", "/", ""}, "403"},
		{"apache, decoded once", params{"proxy:fcgi://h@/public/%252e%252e/secret/evil.php", "/", ""}, "404"},
		{"apache, broken escapes", params{"proxy:fcgi://h@/public/50%.php%2", "/", ""}, "404"},
		{"apache without path", params{"proxy:fcgi://h", "/", ""}, "404"},
		{"apache, socket without path", params{"proxy:unix:/run/x.sock", "/", ""}, "404"},
		{"not apache: a query is part of the name", params{"@/public/hello.php?q=1", "/", ""}, "404"},
		{"not apache: nothing is decoded", params{"@/public/hello%2ephp", "/", ""}, "404"},

		{"P1 empty", params{"", "/", ""}, "404"},
		{"relative", params{"hello.php", "/", ""}, "404"},
		{"folder", params{"@/public/blog", "/", ""}, "403"},
		{"folder with a slash", params{"@/public/blog/", "/", ""}, "403"},
		{"root", params{"@/public", "/", ""}, "403"},
		{"root with a slash", params{"@/public/", "/", ""}, "403"},
		{"folder named like a script", params{"@/public/dir.php", "/", ""}, "403"},
		{"missing", params{"@/public/nothing.php", "/", ""}, "404"},
		{"missing folder", params{"@/public/nothing/x.php", "/", ""}, "404"},
		{"P9 NUL", params{"@/public/hello.php\x00.jpg", "/", ""}, "400"},
		{"P10 image", params{"@/public/uploads/a.jpg", "/", ""}, "403"},
		{"P10 path info behind an image", params{"@/public/uploads/a.jpg/x.php", "/", ""}, "404"},
		{"P10 upper case", params{"@/public/uploads/a.PHP", "/", ""}, "403"},
		{"hidden", params{"@/public/.hidden.php", "/", ""}, "403"},
		{"in a hidden folder", params{"@/public/.secret/x.php", "/", ""}, "403"},
		{"fifo", params{"@/public/fifo.php", "/", ""}, "403"},
		{"outside", params{"@/secret/evil.php", "/", ""}, "403"},
		{"outside, up", params{"@/public/../secret/evil.php", "/", ""}, "403"},
		{"outside, beyond the top", params{"/../../etc/passwd", "/", ""}, "400"},
		{"outside, the same beginning", params{"@/publicity/near.php", "/", ""}, "403"},
		{"outside by a link", params{"@/public/out.php", "/", ""}, "403"},
		{"outside by a linked folder", params{"@/public/out-dir/evil.php", "/", ""}, "403"},
		{"inside by a link outside", params{"@/secret/back.php/x", "/back.php", "/x"}, "script public/hello.php /back.php /x"},
		{"another system", params{`C:\inetpub\hello.php`, "/", ""}, "404"},
		{"too long", params{"@/public/" + strings.Repeat("a/", 2048), "/", ""}, "414"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := func(s string) string { return strings.ReplaceAll(s, "@", dir) }
			got, err := root.CheckScript(in(c.in.file), in(c.in.name), in(c.in.info))
			if got := answer(t, dir, got, err); got != in(c.want) {
				t.Errorf("CheckScript(%.100q) = %s, want %s (%v)", c.in, got, c.want, err)
			}
		})
	}
}

func TestMissingScriptIsCalledAsPHPFPMCallsIt(t *testing.T) {
	dir := plant(t)
	_, err := mustNew(t, options(dir)).CheckScript(dir+"/public/nothing.php", "/nothing.php", "")
	if err == nil || !strings.HasPrefix(err.Error(), "Primary script unknown") {
		t.Errorf("error %v", err)
	}
}

// PHP caches what a link led to, so it is told where it leads now.
func TestScriptBehindALinkGoesByItsRealName(t *testing.T) {
	dir := plant(t)
	link := filepath.Join(dir, "current")
	if err := os.Symlink(filepath.Join(dir, "public"), link); err != nil {
		t.Fatal(err)
	}
	o := options(dir)
	o.Root = link
	root := mustNew(t, o)
	other := filepath.Join(dir, "other")
	if err := os.Symlink("public", other); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{link + "/hello.php", dir + "/public/hello.php", other + "/hello.php"} {
		got, err := root.CheckScript(name, "/hello.php", "")
		if err != nil || got.Filename != dir+"/public/hello.php" || got.Root != dir+"/public" {
			t.Errorf("CheckScript(%s) = %+v, %v", name, got, err)
		}
	}
	if real, err := root.RealPath(); err != nil || !root.Linked() || root.Path() != link || real != dir+"/public" {
		t.Errorf("%s leads to %s, %v", root.Path(), real, err)
	}
}

// Settings of php.ini are bound to the first part of the path: who switches the
// link elsewhere must not escape them.
func TestRootElsewhereIsNamedAsConfigured(t *testing.T) {
	elsewhere, err := os.MkdirTemp("/dev/shm", "docroot") //nolint:usetesting // another place than the tests' own
	if err != nil {
		t.Skip("no second place on this machine: ", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(elsewhere) })
	dir := plant(t)
	if docroot.Covered(dir) == docroot.Covered(elsewhere) {
		t.Skip("the temporary folder is in the same place")
	}
	if err := os.WriteFile(filepath.Join(elsewhere, "hello.php"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "current")
	if err := os.Symlink(filepath.Join(dir, "public"), link); err != nil {
		t.Fatal(err)
	}
	o := options(dir)
	o.Root = link
	root := mustNew(t, o)
	if err := os.Symlink(elsewhere, link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	if got, err := root.Resolve("/hello.php"); err != nil || got.Filename != link+"/hello.php" {
		t.Errorf("got %+v, %v", got, err)
	}
}
