package e2e

import (
	"bytes"
	"strings"
	"testing"
)

func TestStaticFilesByHTTP(t *testing.T) {
	t.Parallel()
	needPHP(t)
	large := strings.Repeat("0123456789abcdef", 1<<16)
	types := map[string]string{
		"a.css": "text/css", "a.js": "text/javascript", "a.html": "text/html", "a.svg": "image/svg+xml", "a.png": "image/png", "a.json": "application/json",
		"a.txt": "text/plain", "a.pdf": "application/pdf", "a.woff2": "font/woff2", "a.unknown-type": "application/octet-stream", "a.wasm": "application/wasm",
	}
	files := map[string]string{"workers/app/public/large.bin": large, "workers/app/public/sub/index.html": "the index of sub", "workers/app/public/with blank é.txt": "found"}
	for name := range types {
		files["workers/app/public/"+name] = "\x00\x01\x02 " + name
	}
	s := start(t, options{files: files})
	c := newClient(t)
	url := func(path string) string { return "http://" + s.http + path }
	t.Run("content types", func(t *testing.T) {
		for name, want := range types {
			a := must(t, c, 200, "GET", url("/"+name), nil)
			if got, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";"); got != want || a.body != "\x00\x01\x02 "+name {
				t.Errorf("%s: %s, %q", name, got, a.body)
			}
			if a.Header.Get("X-Content-Type-Options") != "nosniff" && want == "application/octet-stream" {
				t.Logf("%s without nosniff", name)
			}
		}
	})
	t.Run("conditional requests", func(t *testing.T) {
		a := must(t, c, 200, "GET", url("/a.css"), nil)
		tag, modified := a.Header.Get("Etag"), a.Header.Get("Last-Modified")
		if tag == "" || modified == "" {
			t.Fatalf("no validator: %v", a.Header)
		}
		for _, header := range [][]string{{"If-None-Match", tag}, {"If-None-Match", `"x", ` + tag}, {"If-None-Match", "*"}, {"If-Modified-Since", modified}} {
			if a := must(t, c, 304, "GET", url("/a.css"), nil, header...); a.body != "" {
				t.Errorf("%v: %q", header, a.body)
			}
		}
		must(t, c, 200, "GET", url("/a.css"), nil, "If-None-Match", `"other"`)
		must(t, c, 200, "GET", url("/a.css"), nil, "If-None-Match", `"other"`, "If-Modified-Since", modified)
		must(t, c, 412, "GET", url("/a.css"), nil, "If-Match", `"other"`)
	})
	t.Run("ranges", func(t *testing.T) {
		for header, want := range map[string]struct{ contentRange, body string }{
			"bytes=0-3":      {"bytes 0-3/1048576", "0123"},
			"bytes=16-17":    {"bytes 16-17/1048576", "01"},
			"bytes=-2":       {"bytes 1048574-1048575/1048576", "ef"},
			"bytes=1048575-": {"bytes 1048575-1048575/1048576", "f"},
		} {
			a := must(t, c, 206, "GET", url("/large.bin"), nil, "Range", header)
			if a.Header.Get("Content-Range") != want.contentRange || a.body != want.body {
				t.Errorf("%s: %q, %q", header, a.Header.Get("Content-Range"), a.body)
			}
		}
		must(t, c, 416, "GET", url("/large.bin"), nil, "Range", "bytes=1048576-")
		if a := must(t, c, 200, "GET", url("/large.bin"), nil, "Range", "lines=1-2"); a.body != large {
			t.Error("an unknown range unit did not give the whole file")
		}
		if a := must(t, c, 200, "GET", url("/large.bin"), nil, "Range", "bytes=0-3", "If-Range", `"old"`); a.body != large {
			t.Error("If-Range of another version did not give the whole file")
		}
	})
	t.Run("whole, HEAD and index", func(t *testing.T) {
		if a := must(t, c, 200, "GET", url("/large.bin"), nil); a.body != large || a.ContentLength != int64(len(large)) {
			t.Errorf("%d bytes of %d, Content-Length %d", len(a.body), len(large), a.ContentLength)
		}
		if a := must(t, c, 200, "HEAD", url("/large.bin"), nil); a.body != "" || a.ContentLength != int64(len(large)) {
			t.Errorf("HEAD: %d bytes, Content-Length %d", len(a.body), a.ContentLength)
		}
		if a := must(t, c, 200, "GET", url("/sub/"), nil); a.body != "the index of sub" {
			t.Errorf("%q", a.body)
		}
		if a := must(t, c, 301, "GET", url("/sub?a=1"), nil); a.Header.Get("Location") != "/sub/?a=1" && a.Header.Get("Location") != url("/sub/?a=1") {
			t.Errorf("Location %q", a.Header.Get("Location"))
		}
		if a := must(t, c, 200, "GET", url("/with%20blank%20%C3%A9.txt"), nil); a.body != "found" {
			t.Errorf("%q", a.body)
		}
	})
	t.Run("other methods", func(t *testing.T) {
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			a := must(t, c, 405, method, url("/a.css"), bytes.NewReader([]byte("x")))
			if a.Header.Get("Allow") == "" {
				t.Errorf("%s: 405 without Allow (RFC 9110, 15.5.6)", method)
			}
		}
	})
}
