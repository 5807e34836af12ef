package docroot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mevdschee/tqserver/core/docroot"
)

// planted is a document root with everything that the tables ask for, and
// secrets beside it. A name ending in a slash is a folder; "a -> b" a symlink.
var planted = []string{
	"public/index.php", "public/hello.php", "public/a b.php", "public/doku.php", "public/x+y.php",
	"public/style.css", "public/logo.png", "public/README", "public/file\\name.txt", "public/50%.txt", "public/%2e%2e.txt",
	"public/blog/index.html", "public/blog/post.php", "public/both/index.html", "public/both/index.php",
	"public/empty/", "public/dir.php/inner.php", "public/dir.php/deep.txt",
	"public/uploads/a.jpg", "public/uploads/a.php.jpg", "public/uploads/a.PHP", "public/uploads/a.pHp5", "public/uploads/a.phtml",
	"public/uploads/a.php\n", "public/uploads/a.php ", "public/uploads/a.php.", "public/uploads/shell.php.txt",
	"public/uploads/x.ⓟⓗⓟ", "public/uploads/x﹒php", "public/uploads/x．php", "public/uploads/x.ｐhp", "public/uploads/x.pḣp",
	"public/ȺȺȺȺshell.php.txt", "public/ȺȺȺȺshell.php.txt.phpx", "public/ȺȺȺȺok.php",
	"public/config.php~", "public/config.php.bak", "public/config.php.old.1", "public/lib.inc", "public/lib.INC.save", "public/app.phar",
	"public/my.ini", "public/dump.sql", "public/prod.env", "public/#config.php#", "public/source.phps", "public/x.php_old",
	"public/.env", "public/.git/config", "public/.user.ini", "public/.htaccess", "public/.hidden.php", "public/.secret/x.php", "public/.secret/x.txt",
	"public/.well-known/acme-challenge/token", "public/.well-known/x.php", "public/.well-known/.secret", "public/.well-known/security.txt",
	"public/real/data.txt", "public/real/run.php",
	"public/in-dir -> real", "public/in-file.txt -> real/data.txt", "public/in-run.php -> real/run.php",
	"public/in-abs.txt -> @/public/real/data.txt", "public/in-abs-dir -> @/public/real",
	"public/show.txt -> hello.php", "public/show-env.txt -> .env", "public/show-bak.txt -> config.php.bak",
	"public/out.txt -> @/secret/passwd", "public/out.php -> @/secret/evil.php", "public/out-dir -> @/secret", "public/out-rel.php -> ../secret/evil.php",
	"public/out-back.php -> ../secret/back.php", "secret/back.php -> @/public/hello.php",
	"public/loop.php -> loop.php", "public/dangling.php -> nowhere.php", "public/dangling.txt -> nowhere.txt", "public/self -> .",
	"secret/passwd", "secret/evil.php", "publicity/near.php",
}

func plant(tb testing.TB) (dir string) {
	tb.Helper()
	dir, err := filepath.EvalSymlinks(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range planted {
		name, to, link := strings.Cut(name, " -> ")
		name = filepath.Join(dir, name) + name[len(strings.TrimRight(name, "/")):]
		folder := filepath.Dir(name)
		err := os.MkdirAll(folder, 0o755)
		switch {
		case err != nil || strings.HasSuffix(name, "/"):
		case link:
			err = os.Symlink(strings.ReplaceAll(to, "@", dir), name)
		default:
			err = os.WriteFile(name, []byte("<?php echo 'source';"), 0o600)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "public/fifo.php"), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "public/fifo.txt"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func options(dir string) docroot.Options {
	return docroot.Options{Root: filepath.Join(dir, "public"), Index: []string{"index.php", "index.html"}}
}

func mustNew(tb testing.TB, o docroot.Options) *docroot.Root {
	tb.Helper()
	r, err := docroot.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// status returns that of an *Error, 0 for none.
func status(tb testing.TB, err error) int {
	tb.Helper()
	if err == nil {
		return 0
	}
	var e *docroot.Error
	if !errors.As(err, &e) {
		tb.Fatalf("error %v is not an *Error", err)
	}
	if e.Reason == "" {
		tb.Error("an error without a reason")
	}
	return e.Status
}

// answer writes a result as the tables do: "script FILE NAME INFO", "static
// FILE", "redirect LOCATION" or the status. Files are relative to dir.
func answer(tb testing.TB, dir string, t docroot.Target, err error) string {
	tb.Helper()
	if s := status(tb, err); s != 0 {
		return map[int]string{400: "400", 403: "403", 404: "404", 414: "414"}[s]
	}
	file := strings.TrimPrefix(t.Filename, dir+"/")
	switch t.Kind {
	case docroot.Script:
		s := "script " + file + " " + t.ScriptName
		if t.PathInfo != "" {
			s += " " + t.PathInfo
		}
		return s
	case docroot.Static:
		return "static " + file
	case docroot.Redirect:
		return "redirect " + t.Location
	}
	return "nothing"
}
