package router

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// link is a worker whose document root is a link, to *to.
func link(name, root string, to *string) api.Worker {
	w := php(name, "/"+name, root)
	w.RealRoot = func() (string, error) { return *to, nil }
	return w
}

// by is a request that came by FastCGI for a script.
func by(script string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/none", http.NoBody)
	return r.WithContext(api.WithFastCGI(r.Context(), &api.FastCGI{Params: fastcgi.Params{{Name: "SCRIPT_FILENAME", Value: script}}}))
}

// A script is the worker's with the longest root, as configured or as it is where a
// link leads now, also just after a deployment.
func TestScriptsBehindLinks(t *testing.T) {
	shop, blog := "/srv/releases/5", "/var/b1"
	rt := mustNew(t, php("all", "/all", "/srv"), php("inner", "/inner", "/srv/inner/public"), link("shop", "/srv/current", &shop), link("blog", "/home/blog", &blog))
	for range 2 {
		for script, want := range map[string]string{
			"/srv/x.php": "all", "/srv/inner/public/x.php": "inner", "/srv/inner/public": "all", "/srv/innermost/x.php": "all",
			"/srv/current/x.php": "shop", shop + "/x.php": "shop", "/srv/releases/4/x.php": "all",
			"/home/blog/a/b/x.php": "blog", blog + "/x.php": "blog", "/var/x.php": "Not Found", "/home/blog": "Not Found", "x.php": "Not Found",
			"proxy:fcgi://h:1" + blog + "/x.php": "blog", "/srv/current/../x.php": "all",
		} {
			if got, _, _ := strings.Cut(ask(rt, by(script)), " /"); got != want {
				t.Errorf("%s is of %s, want %s", script, got, want)
			}
		}
		shop, blog = "/srv/releases/6", "/var/b2"
		// What is asked for by a new real path is known at once, and then the others are.
		if got := ask(rt, by(blog+"/x.php")); !strings.HasPrefix(got, "blog ") {
			t.Errorf("just switched: %q", got)
		}
	}
}

func TestScriptIsOfTheWorkerWhoseRootHoldsIt(t *testing.T) {
	const public = "/srv/app/public"
	rt := mustNew(t, php("app", "/app", public))
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{public + "/hello.php", true},
		{public + "//x/../missing.php", true},
		{"proxy:fcgi://h:1" + public + "/hello.php?x", true},
		{"proxy:unix:/s|fcgi://h" + public + "/hello.php", true},
		{public, false},
		{public + "/../secret/evil.php", false},
		{"/srv/app/publicity/near.php", false},
		{"hello.php", false},
		{"", false},
		{public + "/a\x00", false},
	} {
		if got := ask(rt, by(c.name)); strings.HasPrefix(got, "app ") != c.ok {
			t.Errorf("%q: %s", c.name, got)
		}
	}
}

// The cost of finding a worker does not depend on how many there are.
func BenchmarkRoute(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		workers := make(api.Workers, 0, 2*n)
		for i := range n {
			w := php(fmt.Sprint("php", i), fmt.Sprintf("/app%d", i), fmt.Sprintf("/srv/www/app%d/public", i))
			w.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			workers = append(workers, w)
			w.Name, w.Path, w.Hosts = fmt.Sprint("host", i), "/", []string{fmt.Sprintf("app%d.example.org", i)}
			w.ScriptRoot = ""
			workers = append(workers, w)
		}
		rt := New(Config{}, Deps{Workers: workers, Log: slog.New(slog.DiscardHandler)})
		if err := rt.Check(b.Context(), true); err != nil {
			b.Fatal(err)
		}
		last := n - 1
		byHost := httptest.NewRequest(http.MethodGet, fmt.Sprintf("http://app%d.example.org/a/b/c", last), http.NoBody)
		byPath := httptest.NewRequest(http.MethodGet, fmt.Sprintf("http://x/app%d/a/b/c", last), http.NoBody)
		byScript := by(fmt.Sprintf("/srv/www/app%d/public/a/index.php", last))
		for _, c := range []struct {
			name string
			r    *http.Request
		}{{"host", byHost}, {"path", byPath}, {"script", byScript}} {
			b.Run(fmt.Sprintf("by=%s/workers=%d", c.name, 2*n), func(b *testing.B) {
				w := httptest.NewRecorder()
				b.ReportAllocs()
				for b.Loop() {
					rt.ServeHTTP(w, c.r)
				}
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			})
		}
	}
}
