package router

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// say is a worker that answers with its name and the path it sees.
func say(name, path string, hosts ...string) api.Worker {
	return api.Worker{Name: name, Path: path, Hosts: hosts, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, name+" "+r.URL.Path)
	})}
}

// php is a worker whose document root is root.
func php(name, path, root string) api.Worker {
	w := say(name, path)
	w.ScriptRoot = root
	return w
}

func mustNew(t *testing.T, workers ...api.Worker) *Router {
	t.Helper()
	r := New(Config{}, Deps{Workers: workers, Log: slog.New(slog.DiscardHandler)})
	if err := r.Check(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	return r
}

func ask(rt http.Handler, r *http.Request) string {
	w := httptest.NewRecorder()
	rt.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return http.StatusText(w.Code)
	}
	return w.Body.String()
}

func TestRoutesByHostThenLongestPath(t *testing.T) {
	rt := mustNew(t, say("index", "/"), say("blog", "/blog"), say("deep", "/blog/deep"),
		say("org", "/", "example.org", "www.example.org"), say("orgshop", "/shop", "Example.ORG"))
	for _, c := range []struct{ host, target, want string }{
		{"any", "/", "index /"},
		{"any", "/blog", "blog /blog"},
		{"any", "/blog/", "blog /blog/"},
		{"any", "/blogger", "index /blogger"},
		{"any", "/blog/deep/x", "deep /blog/deep/x"},
		{"any", "/blog/deeper", "blog /blog/deeper"},
		{"example.org", "/", "org /"},
		{"EXAMPLE.org:8080", "/shop/x", "orgshop /shop/x"},
		{"www.example.org.", "/shop", "org /shop"},
		{"example.org", "/blog", "org /blog"}, // who names the host goes first
		{"[::1]:80", "/x", "index /x"},
		{"any", "/blog//x", "blog /blog/x"},
		{"any", "/blog/../x", "index /x"},
		{"any", "/x/..%2fblog/y", "blog /blog/y"},
		{"any", "/%2e%2e/%2e%2e/etc/passwd", "index /etc/passwd"},
		{"any", "/blog/./", "blog /blog/"},
		{"any", "/blog/.well-known/x", "blog /blog/.well-known/x"},
		{"any", "/a%00b", "Bad Request"},
	} {
		r := httptest.NewRequest(http.MethodGet, c.target, nil)
		r.Host = c.host
		if got := ask(rt, r); got != c.want {
			t.Errorf("%s%s went to %q, want %q", c.host, c.target, got, c.want)
		}
	}
}

func TestNoWorkerIsNotFound(t *testing.T) {
	rt := mustNew(t, say("blog", "/blog"), say("org", "/", "example.org"))
	if got := ask(rt, httptest.NewRequest(http.MethodGet, "/", nil)); got != "Not Found" {
		t.Errorf("got %q", got)
	}
}

func TestFastCGIRoutesByScriptThenByPath(t *testing.T) {
	rt := mustNew(t, say("index", "/"), php("blog", "/blog", "/srv/blog"), php("inner", "/inner", "/srv/blog/inner"))
	for _, c := range []struct {
		script, want string
		byRoute      bool
	}{
		{"/srv/blog/x.php", "blog /p", false},
		{"/srv/blog/inner/x.php", "inner /p", false},
		{"/srv/other/x.php", "index /p", true},
		{"", "index /p", true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/p", nil)
		f := &api.FastCGI{Params: fastcgi.Params{{Name: "SCRIPT_FILENAME", Value: c.script}}}
		r = r.WithContext(api.WithFastCGI(r.Context(), f))
		if got := ask(rt, r); got != c.want || f.ByRoute != c.byRoute {
			t.Errorf("%q went to %q by route %v, want %q", c.script, got, f.ByRoute, c.want)
		}
	}
}

func TestOwnSocketGoesToItsWorker(t *testing.T) {
	rt := mustNew(t, say("index", "/"), php("blog", "/blog", "/srv/blog"))
	h, err := rt.ForWorker("blog")
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(h, httptest.NewRequest(http.MethodGet, "/elsewhere", nil)); got != "blog /elsewhere" {
		t.Errorf("got %q", got)
	}
	if _, err := rt.ForWorker("nobody"); err == nil {
		t.Error("a worker that is not there was found")
	}
}

func TestTwoWorkersWithOneRouteAreAnError(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b api.Worker
		want string
	}{
		{"path", say("a", "/x"), say("b", "/x"), "workers a and b both have the route /x"},
		{"host and path", say("a", "/", "h", "i"), say("b", "/", "I"), "both have the route i/"},
		{"name", say("a", "/x"), say("a", "/y"), "two workers are named a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := New(Config{}, Deps{Workers: api.Workers{c.a, c.b}, Log: slog.New(slog.DiscardHandler)}).Check(t.Context(), false)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	mustNew(t, say("a", "/", "h"), say("b", "/", "i"), say("c", "/"))
}

// A worker without a path is reached by its own addresses only.
func TestWorkerWithoutPathHasNoRoute(t *testing.T) {
	rt := mustNew(t, php("a", "", "/srv/a"), php("b", "", "/srv/a"), say("index", "/"))
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	r = r.WithContext(api.WithFastCGI(r.Context(), &api.FastCGI{Params: fastcgi.Params{{Name: "SCRIPT_FILENAME", Value: "/srv/a/x.php"}}}))
	if got := ask(rt, r); got != "index /x" {
		t.Errorf("got %q", got)
	}
	h, err := rt.ForWorker("b")
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(h, httptest.NewRequest(http.MethodGet, "/x", nil)); got != "b /x" {
		t.Errorf("got %q", got)
	}
}
