package docroot_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/core/docroot"
)

// allowed checks by other means than the package's own what every Target
// promises: a regular file, really inside the root, with a fit extension.
func allowed(t *testing.T, public string, got docroot.Target) {
	t.Helper()
	if got.Kind == docroot.Redirect {
		if !strings.HasPrefix(got.Location, "/") || strings.HasPrefix(got.Location, "//") || !strings.HasSuffix(got.Location, "/") {
			t.Errorf("redirect to %q", got.Location)
		}
		return
	}
	if strings.IndexByte(got.Filename+got.PathInfo, 0) >= 0 {
		t.Errorf("NUL in %+v", got)
	}
	real, err := filepath.EvalSymlinks(got.Filename)
	if err != nil {
		t.Fatalf("%+v: %v", got, err)
	}
	if !strings.HasPrefix(real, public+"/") {
		t.Errorf("%+v leads to %q, outside", got, real)
	}
	if st, err := os.Stat(real); err != nil || !st.Mode().IsRegular() {
		t.Errorf("%+v is no regular file (%v)", got, err)
	}
	switch got.Kind {
	case docroot.Script:
		if !strings.HasSuffix(got.Filename, ".php") || strings.Contains(got.Filename[len(public):], "/.") {
			t.Errorf("%+v is run", got)
		}
		if got.PathInfo != "" && got.PathInfo[0] != '/' {
			t.Errorf("path info in %+v", got)
		}
	case docroot.Static, docroot.Redirect:
		if real != got.Filename || strings.HasSuffix(strings.ToLower(real), ".php") {
			t.Errorf("%+v is sent", got)
		}
	}
}

func FuzzResolve(f *testing.F) {
	dir := plant(f)
	public := dir + "/public"
	o := options(dir)
	plain := mustNew(f, o)
	o.FrontController = "index.php"
	fronted := mustNew(f, o)
	for _, name := range planted {
		name, _, _ = strings.Cut(name, " -> ")
		f.Add(strings.TrimPrefix(name, "public"))
		f.Add(strings.TrimPrefix(name, "public") + "/x.php/..")
	}
	f.Add("/in-dir/../out-dir/evil.php//.//x")
	f.Add("/ȺȺȺȺshell.php.txt.php")
	f.Fuzz(func(t *testing.T, path string) {
		for _, root := range []*docroot.Root{plain, fronted} {
			if got, err := root.Resolve(path); status(t, err) == 0 {
				allowed(t, public, got)
			}
		}
	})
}

func FuzzCheckScript(f *testing.F) {
	dir := plant(f)
	public := dir + "/public"
	root := mustNew(f, options(dir))
	for _, prefix := range []string{"", "proxy:fcgi://h:9000", "proxy:unix:/s|fcgi://h", "proxy:balancer://b"} {
		for _, name := range []string{"/public/hello.php", "/public/hello.php/x%2fy?z", "/secret/evil.php", "/public/out.php", "/secret/back.php"} {
			f.Add(prefix, name, "/hello.php/x", "/x")
		}
	}
	f.Fuzz(func(t *testing.T, prefix, name, scriptName, pathInfo string) {
		file := prefix + dir + name
		got, err := root.CheckScript(file, scriptName, pathInfo)
		if status(t, err) != 0 {
			return
		}
		if got.Kind != docroot.Script {
			t.Fatalf("%+v", got)
		}
		got.PathInfo = "" // the web server's own
		allowed(t, public, got)
	})
}
