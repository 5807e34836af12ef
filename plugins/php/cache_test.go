package php

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mevdschee/tqserver/sdk"
)

// asked says whether what was asked is answered without a start of PHP.
func asked(t *testing.T, a asker, path, ini string) bool {
	t.Helper()
	over, cancel := context.WithCancel(t.Context())
	cancel() // php-cgi cannot be started any more
	b, err1 := a.askVersion(over, path)
	p, err2 := a.askSettings(over, path, ini, nil)
	if (err1 == nil) != (err2 == nil) {
		t.Errorf("%v, %v", err1, err2)
	}
	return err1 == nil && b.version != "" && p.names["memory_limit"]
}

func TestAnswersOutliveThePlugin(t *testing.T) {
	needPHP(t)
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o711); err != nil {
		t.Fatal(err)
	}
	w := sdk.Worker{RuntimeFolder: filepath.Join(folder, "x")}
	file := cacheFile(w)
	if file != filepath.Join(folder, cacheName) {
		t.Fatalf("the file is %q", file)
	}
	path, err := exec.LookPath("php-cgi")
	if err != nil {
		t.Fatal(err)
	}
	ini := filepath.Join(t.TempDir(), "php.ini")
	if err := os.WriteFile(ini, []byte("precision=5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func() {
		t.Helper()
		a := asker{&cache{}, file}
		if _, err := a.askVersion(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if _, err := a.askSettings(t.Context(), path, ini, nil); err != nil {
			t.Fatal(err)
		}
	}
	next := func() asker { return asker{&cache{}, file} } // of the next plugin process
	if asked(t, next(), path, ini) {
		t.Fatal("answered before it was asked")
	}
	ask()
	if !asked(t, next(), path, ini) {
		t.Error("forgotten")
	}
	// A php.ini that has changed asks again.
	if err := os.WriteFile(ini, []byte("precision=6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(ini, time.Now(), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, known := (&cache{}).get(file, questionOf("settings", path, "-c", ini)); known {
		t.Error("an answer outlives its php.ini")
	}
	ask()
	// What others may have written is not believed.
	for name, spoil := range map[string]func() error{
		"writable by others": func() error { return os.Chmod(file, 0o602) },
		"readable by others": func() error { return os.Chmod(file, 0o644) },
		"a link": func() error {
			if err := os.Rename(file, file+"2"); err != nil {
				return err
			}
			return os.Symlink(file+"2", file)
		},
		"another owner": func() error {
			if os.Geteuid() != 0 {
				return os.Remove(file)
			}
			return os.Chown(file, 1, 1)
		},
		"no JSON":  func() error { return os.WriteFile(file, []byte("{"), 0o600) },
		"a folder": func() error { _ = os.Remove(file); return os.Mkdir(file, 0o700) },
	} {
		_ = os.RemoveAll(file)
		ask()
		if !asked(t, next(), path, ini) {
			t.Fatal("not remembered again")
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if asked(t, next(), path, ini) {
			t.Errorf("%s: believed", name)
		}
	}
	left, err := filepath.Glob(file + ".*")
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestAnswersStayPrivate(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if file := cacheFile(sdk.Worker{RuntimeFolder: filepath.Join(folder, "x")}); file != "" {
		t.Errorf("%s may be written by all", file)
	}
	if file := cacheFile(sdk.Worker{RuntimeFolder: "/nowhere/x"}); file != "" {
		t.Errorf("%s", file)
	}
	if file := cacheFile(sdk.Worker{}); file != "" {
		t.Errorf("%s", file)
	}
	// A script that stands for php-cgi is asked every time.
	script := filepath.Join(folder, "php-cgi")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho 'PHP 8.9.1 (cgi-fcgi) (built: x)'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := &cache{}
	if b, err := (asker{cache: c}).askVersion(t.Context(), script); err != nil || b.version != "8.9.1" {
		t.Errorf("%+v, %v", b, err)
	}
	if len(c.answers) > 0 {
		t.Error("a script's answer is remembered")
	}
}

func TestAnswersAreBounded(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &cache{}
	for i := range 5 * cacheKept {
		c.put("", questionOf("version", string(rune('a'+i))), program, nil, []string{"8.2"})
	}
	if n := len(c.answers); n > cacheKept {
		t.Errorf("%d answers", n)
	}
	if !slices.Equal(c.answers[questionOf("version", string(rune('a'+5*cacheKept-1)))].Texts, []string{"8.2"}) {
		t.Error("the last one is not there")
	}
}

// Who asks what another one asks already waits for that answer.
func TestQuestionsAreAskedOnce(t *testing.T) {
	var c cache
	var asked, busy atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			done, err := c.turn(t.Context(), "q")
			if err != nil {
				t.Error(err)
				return
			}
			defer done()
			if busy.Add(1) > 1 {
				t.Error("two ask at once")
			}
			defer busy.Add(-1)
			if _, ok := c.get("", "q"); !ok {
				asked.Add(1)
				c.put("", "q", "/proc/self/exe", nil, []string{"a"})
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	done, err := c.turn(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.turn(over, "q"); err == nil {
		t.Error("waited for without end")
	}
}

// PATH is read again when something comes, and when a link leads elsewhere.
func TestCandidatesAreRemembered(t *testing.T) {
	dir := t.TempDir()
	moment := time.Now().Add(-time.Hour)
	change := func(name, target string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if target == "" {
			if err := os.WriteFile(path, nil, 0o700); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		// The kernel's clock may not have ticked since the last change.
		moment = moment.Add(time.Second)
		if err := os.Chtimes(dir, moment, moment); err != nil {
			t.Fatal(err)
		}
	}
	var c cache
	names := func() (list []string) {
		t.Helper()
		for range 2 {
			list = nil
			for _, path := range c.candidates([]string{dir}) {
				list = append(list, filepath.Base(path))
			}
		}
		return list
	}
	change("php", "")
	if got := names(); got != nil {
		t.Errorf("%q", got)
	}
	change("php-cgi8.1", "")
	change("php-cgi", "php-cgi8.1")
	if got := names(); !slices.Equal(got, []string{"php-cgi"}) {
		t.Errorf("%q", got)
	}
	change("php-cgi8.2", "")
	if got := names(); !slices.Equal(got, []string{"php-cgi", "php-cgi8.2"}) {
		t.Errorf("%q", got)
	}
	// Elsewhere than in the folder itself, as Debian's alternatives are changed.
	if err := os.Remove(filepath.Join(dir, "php-cgi8.1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(dir, moment, moment); err != nil {
		t.Fatal(err)
	}
	if got := names(); !slices.Equal(got, []string{"php-cgi8.2"}) {
		t.Errorf("%q", got)
	}
}
