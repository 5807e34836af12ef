package router

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/core/api"
)

// tag is a middleware that writes its name before the answer.
func tag(name string) api.Middleware {
	return api.Middleware{Name: name, Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, name+">")
			next.ServeHTTP(w, r)
			_, _ = io.WriteString(w, "<"+name+":"+api.NotesFrom(r.Context()).Worker)
		})
	}}
}

func TestMiddlewareStandsWhereItIsNamed(t *testing.T) {
	shop := say("shop", "/shop")
	shop.Middleware = []string{"c", "d"}
	workers := api.Workers{say("index", "/"), shop}
	rt := New(Config{Middleware: []string{"b", "a"}}, Deps{
		Workers: workers, Middlewares: api.Middlewares{tag("a"), tag("b"), tag("c"), tag("d")}, Log: slog.New(slog.DiscardHandler),
	})
	if err := rt.Check(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	serving := rt.Serving()
	request := func(path string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		return r.WithContext(api.WithRequestID(r.Context(), "1"))
	}
	own, err := serving.ForWorker("shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		h          http.Handler
		path, want string
	}{
		{serving, "/x", "b>a>index /x<a:index<b:index"},
		{serving, "/shop//x", "b>a>c>d>shop /shop/x<d:shop<c:shop<a:shop<b:shop"},
		{own, "/x", "b>a>c>d>shop /x<d:shop<c:shop<a:shop<b:shop"},
	} {
		if got := ask(c.h, request(c.path)); got != c.want {
			t.Errorf("%s: %q, want %q", c.path, got, c.want)
		}
	}
	if got := ask(workers[1].Handler, request("/shop")); got != "shop /shop" {
		t.Errorf("the workers of others were changed: %q", got)
	}
	if _, err := serving.ForWorker("nobody"); err == nil {
		t.Error("a worker that is not there was found")
	}
}

// Without a middleware requests go the way they always went.
func TestNoMiddlewareChangesNothing(t *testing.T) {
	rt := New(Config{}, Deps{Workers: api.Workers{say("index", "/")}, Log: slog.New(slog.DiscardHandler)})
	if rt.Serving() != api.Router(rt) {
		t.Error("something stands before the router")
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r = r.WithContext(api.WithRequestID(r.Context(), "1"))
	ask(rt, r)
	if worker := api.NotesFrom(r.Context()).Worker; worker != "" {
		t.Errorf("somebody noted %q", worker)
	}
}

func TestMistakesWithMiddlewares(t *testing.T) {
	where := func(file string) api.Where { return func(path string) string { return file + ":3:5: " + path } }
	shop := say("shop", "/shop")
	shop.Middleware, shop.Where = []string{"gone", "a"}, where("worker.yaml")
	var out bytes.Buffer
	err := New(Config{Middleware: []string{"a", "lgo", "a"}}, Deps{
		Workers: api.Workers{shop}, Middlewares: api.Middlewares{tag("b"), tag("a"), tag("b")}, Where: where("tqserver.yaml"),
		Log: slog.New(slog.NewTextHandler(&out, nil)),
	}).Check(t.Context(), false)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"two modules have a middleware that is named b",
		`tqserver.yaml:3:5: router.middleware[1]: no middleware is named "lgo"; there is a, b, b`,
		`tqserver.yaml:3:5: router.middleware[2]: "a" stands in the list already`,
		`worker.yaml:3:5: middleware[0]: no middleware is named "gone"`,
		"worker.yaml:3:5: middleware[1]: every request passes a already",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	if !strings.Contains(out.String(), "middleware=b") {
		t.Errorf("nobody is told that b does nothing: %s", out.String())
	}
}
