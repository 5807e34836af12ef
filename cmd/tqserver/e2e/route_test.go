package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"
)

// which is a PHP worker whose scripts say whose they are.
func which(name, head string) map[string]string {
	say := `<?php echo json_encode(['worker' => '` + name + `', 'server' => $_SERVER], JSON_UNESCAPED_SLASHES);`
	dir := "workers/" + name + "/"
	return map[string]string{
		dir + "config/worker.yaml": head + "\ntype: php\ndocument_root: public\nphp: {pool: {max_workers: 1}}\n",
		dir + "public/index.php":   say,
		dir + "public/who.php":     say,
		dir + "public/sub/who.php": say,
		dir + "public/file.txt":    "file of " + name,
	}
}

type whose struct {
	Worker string
	Server map[string]any
}

func merge(all ...map[string]string) map[string]string {
	merged := map[string]string{}
	for _, files := range all {
		maps.Copy(merged, files)
	}
	return merged
}

func TestRouting(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{workers: []string{}, files: merge(
		which("root", "path: /"),
		which("blog", "path: /blog"),
		which("deep", "path: /blog/deep"),
		which("host", "path: /\nhosts: [example.org, www.example.org]"),
		which("hostblog", "path: /blog\nhosts: [example.org]"),
		which("own", "path: /own\nfastcgi: {listen: ['unix:own.sock', '127.0.0.1:0']}"),
	)})
	n := s.startNginx(t, fmt.Sprintf(strings.Replace(byRoute, "$server_name;", "$host; fastcgi_param HTTP_HOST $http_host;", 1), "unix"))
	for name, at := range map[string]string{"http": s.http, "nginx": n.addresses[0]} {
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct{ host, path, worker, script string }{
				{"localhost", "/who.php", "root", "/who.php"},
				{"localhost", "/", "root", "/index.php"},
				{"localhost", "/blog/who.php", "blog", "/blog/who.php"},
				{"localhost", "/blog/", "blog", "/blog/index.php"},
				{"localhost", "/blog/sub/who.php", "blog", "/blog/sub/who.php"},
				{"localhost", "/blog/who.php/info", "blog", "/blog/who.php"},
				{"localhost", "/blog/deep/who.php", "deep", "/blog/deep/who.php"},
				{"localhost", "/own/who.php", "own", "/own/who.php"},
				{"example.org", "/who.php", "host", "/who.php"},
				{"EXAMPLE.org:8080", "/who.php", "host", "/who.php"},
				{"example.org.", "/who.php", "host", "/who.php"},
				{"www.example.org", "/who.php", "host", "/who.php"},
				{"example.org", "/blog/who.php", "hostblog", "/blog/who.php"},
				{"www.example.org", "/blog/deep/../who.php", "host", ""},
				{"other.example.org", "/who.php", "root", "/who.php"},
				{"localhost", "/blog/../who.php", "root", "/who.php"},
				{"localhost", "/x/..%2fblog/who.php", "blog", "/blog/who.php"},
				{"localhost", "/blo%67/who.php", "blog", "/blog/who.php"},
			} {
				a, err := raw(t, at, "GET "+test.path+" HTTP/1.1\r\nHost: "+test.host+"\r\nConnection: close\r\n\r\n")
				if err != nil {
					t.Errorf("%v: %v", test, err)
					continue
				}
				if test.script == "" { // no script of that name there
					if a.StatusCode != 404 {
						t.Errorf("%v: status %d %.100q", test, a.StatusCode, a.body)
					}
					continue
				}
				if a.StatusCode != 200 {
					t.Errorf("%v: status %d %.100q", test, a.StatusCode, a.body)
					continue
				}
				got := decode[whose](t, a.body)
				if got.Worker != test.worker || got.Server["SCRIPT_NAME"] != test.script {
					t.Errorf("%v: worker %s, SCRIPT_NAME %v", test, got.Worker, got.Server["SCRIPT_NAME"])
				}
			}
			for path, want := range map[string]int{"/blogger/who.php": 404, "/who.php/../blog/deep/none.php": 404} {
				if a, err := raw(t, at, target(path, "", "")); err != nil || a.StatusCode != want {
					t.Errorf("%s: %v %v", path, err, a.Response)
				}
			}
			a, err := raw(t, at, target("/blog?a=1", "", ""))
			if err != nil || a.StatusCode != 301 || !strings.HasSuffix(a.Header.Get("Location"), "/blog/?a=1") {
				t.Errorf("/blog: %v %v", err, a.Response)
			}
		})
	}
	t.Run("SCRIPT_FILENAME decides by FastCGI", func(t *testing.T) {
		for _, worker := range []string{"root", "blog", "deep", "host", "own"} {
			script := s.path("workers", worker, "public/sub/who.php")
			// The URL would lead elsewhere.
			a, err := fcgi(t, "tcp", s.tcp, "SCRIPT_FILENAME", script, "SCRIPT_NAME", "/app/sub/who.php", "REQUEST_URI", "/app/sub/who.php", "REQUEST_METHOD", "GET", "HTTP_HOST", "nowhere")
			if err != nil || a.status() != 200 {
				t.Errorf("%s: %v %.200q", worker, err, a.stdout)
				continue
			}
			if got := decode[whose](t, a.body()); got.Worker != worker || got.Server["SCRIPT_FILENAME"] != script || got.Server["SCRIPT_NAME"] != "/app/sub/who.php" {
				t.Errorf("%s: worker %s, %v, %v", worker, got.Worker, got.Server["SCRIPT_FILENAME"], got.Server["SCRIPT_NAME"])
			}
		}
	})
	t.Run("a worker's own socket", func(t *testing.T) {
		ask := func(params ...string) fcgiAnswer {
			a, err := fcgi(t, "unix", s.path("own.sock"), append(params, "REQUEST_METHOD", "GET", "HTTP_HOST", "localhost", "SERVER_PROTOCOL", "HTTP/1.1")...)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		a := ask("SCRIPT_FILENAME", s.path("workers/own/public/who.php"), "SCRIPT_NAME", "/who.php", "REQUEST_URI", "/who.php")
		if a.status() != 200 || decode[whose](t, a.body()).Worker != "own" {
			t.Errorf("%.200q", a.stdout)
		}
		// As a PHP-FPM pool, it runs no script of another worker.
		for _, script := range []string{"workers/root/public/who.php", "workers/blog/public/who.php"} {
			if a := ask("SCRIPT_FILENAME", s.path(script), "SCRIPT_NAME", "/who.php", "REQUEST_URI", "/who.php"); a.status() != 403 && a.status() != 404 {
				t.Errorf("%s: status %d %.200q", script, a.status(), a.stdout)
			}
		}
		if mode := mustMode(t, s.path("own.sock")); mode != 0o660 {
			t.Errorf("mode %o", mode)
		}
	})
}

func TestFrontController(t *testing.T) {
	t.Parallel()
	needPHP(t)
	files := which("site", "path: /site\nfront_controller: index.php")
	s := start(t, options{workers: []string{}, files: files})
	c := newClient(t)
	for path, script := range map[string]string{
		"/site/pretty/url?x=1": "/site/index.php", "/site/": "/site/index.php", "/site/missing.php": "/site/index.php", "/site/who.php": "/site/who.php",
		"/site/who.php/more": "/site/who.php",
	} {
		got := decode[whose](t, must(t, c, 200, "GET", "http://"+s.http+path, nil).body)
		if got.Server["SCRIPT_NAME"] != script || got.Server["REQUEST_URI"] != path {
			t.Errorf("%s: SCRIPT_NAME %v, REQUEST_URI %v", path, got.Server["SCRIPT_NAME"], got.Server["REQUEST_URI"])
		}
	}
	if a := must(t, c, 200, "GET", "http://"+s.http+"/site/file.txt", nil); a.body != "file of site" {
		t.Errorf("%q", a.body)
	}
	must(t, c, 404, "GET", "http://"+s.http+"/elsewhere", nil)
}

func TestGoWorker(t *testing.T) {
	t.Parallel()
	s := start(t, goWorker(t, "index", "/"))
	n := s.startNginx(t, fmt.Sprintf(byRoute, "tcp"), fmt.Sprintf(byRoute, "unix"))
	body := noise(20 << 20)
	for name, at := range map[string]string{"http": s.http, "nginx-tcp": n.addresses[0], "nginx-unix": n.addresses[1]} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			base := "http://" + at
			a := must(t, c, 200, "GET", base+"/?q=search", nil, "User-Agent", "e2e/1")
			for _, want := range []string{"/?q=search", "e2e/1", "GET", "127.0.0.1"} {
				if !strings.Contains(a.body, want) {
					t.Errorf("the page does not show %q: %.1000q", want, a.body)
				}
			}
			a = must(t, c, 200, "POST", base+"/form", strings.NewReader("name=value-of-form"), "Content-Type", "application/x-www-form-urlencoded")
			if !strings.Contains(a.body, "value-of-form") {
				t.Errorf("the page does not show the form: %.1000q", a.body)
			}
			want := fmt.Sprintf("%d bytes, sha256 %s\n", len(body), sum(body))
			for _, chunked := range []bool{false, true} {
				var reader io.Reader = bytes.NewReader(body)
				if chunked {
					reader = io.MultiReader(reader)
				}
				if a := must(t, c, 200, "POST", base+"/echo", reader); a.body != want {
					t.Errorf("chunked %t: %q", chunked, a.body)
				}
			}
			must(t, c, 200, "HEAD", base+"/", nil)
			must(t, c, 404, "GET", base+"/nothing", nil)
		})
	}
	t.Run("streams", func(t *testing.T) {
		res, err := newClient(t).Get("http://" + s.http + "/stream?n=3")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		lines := bufio.NewReader(res.Body)
		if first, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(first, "line 1 ") {
			t.Fatalf("%q, %v", first, err)
		}
		came := time.Now()
		rest, err := io.ReadAll(lines)
		if err != nil || strings.Count(string(rest), "\n") != 2 {
			t.Errorf("%q, %v", rest, err)
		}
		if after := time.Since(came); after < 200*time.Millisecond { // two pauses of 200 ms
			t.Errorf("the first line came only %v before the last", after)
		}
	})
}
