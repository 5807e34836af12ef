package docroot_test

import (
	"os"
	"path/filepath"
	"testing"
)

func BenchmarkResolve(b *testing.B) {
	dir := plant(b)
	link := filepath.Join(dir, "current")
	if err := os.Symlink("public", link); err != nil {
		b.Fatal(err)
	}
	o := options(dir)
	o.FrontController = "index.php"
	plain := mustNew(b, o)
	o.Root = link
	linked := mustNew(b, o)
	for _, c := range []struct{ name, path string }{
		{"script", "/hello.php"},
		{"pathinfo", "/doku.php/wiki/syntax"},
		{"index", "/"},
		{"static", "/style.css"},
		{"front", "/articles/5"},
		{"symlink", "/in-dir/run.php"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := plain.Resolve(c.path); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/linked-root", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := linked.Resolve(c.path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheckScript(b *testing.B) {
	dir := plant(b)
	root := mustNew(b, options(dir))
	name := dir + "/public/hello.php"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := root.CheckScript(name, "/hello.php", ""); err != nil {
			b.Fatal(err)
		}
	}
}
