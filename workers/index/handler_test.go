package main

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mevdschee/tqserver/sdk/settings"
)

func handler(t *testing.T) http.Handler {
	t.Helper()
	h, err := newHandler(defaults(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestSettings(t *testing.T) {
	if bad := settings.CheckStruct(defaults()); len(bad) > 0 {
		t.Error(bad)
	}
	if bad := (config{}).Validate(); len(bad) != 1 || bad[0].Path != "stream_every" {
		t.Error(bad)
	}
}

func TestSocketEchoes(t *testing.T) {
	s := httptest.NewServer(handler(t))
	defer s.Close()
	c, _, err := websocket.Dial(t.Context(), s.URL+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if kind, got, err := c.Read(t.Context()); err != nil || kind != websocket.MessageText || string(got) != "hello" {
		t.Errorf("%v, %q, %v", kind, got, err)
	}
	_ = c.Close(websocket.StatusNormalClosure, "")
}

func TestPages(t *testing.T) {
	var file bytes.Buffer
	m := multipart.NewWriter(&file)
	part, err := m.CreateFormFile("upload", "<b>.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(part, "12345")
	_ = m.WriteField("text", "multi & part")
	_ = m.Close()
	const urlencoded = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, method, target, contentType, body string
		status                                  int
		want                                    []string
	}{
		{"index", "GET", "/?a=<script>", "", "", 200, []string{"/?a=&lt;script&gt;", "X-Test", "/blog/hello.php"}},
		{"form", "POST", "/form", urlencoded, "b=2&a=%3Ci%3E", 200, []string{"<th>a</th><td>&lt;i&gt;</td>", "<th>b</th><td>2</td>"}},
		{"multipart form", "POST", "/form", m.FormDataContentType(), file.String(), 200, []string{"multi &amp; part", "file &lt;b&gt;.txt, 5 bytes"}},
		{"broken form", "POST", "/form", m.FormDataContentType(), "nonsense", 400, nil},
		{"echo", "POST", "/echo", "", "hello", 200, []string{"5 bytes, sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}},
		{"mirror", "POST", "/mirror", "", "hello", 200, []string{"hello"}},
		{"stream", "GET", "/stream?n=1", "", "", 200, []string{"line 1 at "}},
		{"unknown", "GET", "/nothing", "", "", 404, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.contentType)
			r.Header.Set("X-Test", "yes")
			w := httptest.NewRecorder()
			handler(t).ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
			for _, want := range c.want {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("no %q in %s", want, w.Body)
				}
			}
			if strings.Contains(w.Body.String(), "<script>") {
				t.Error("what came from the client is not escaped")
			}
		})
	}
}

func TestStreamIsFlushed(t *testing.T) {
	s := httptest.NewServer(handler(t))
	defer s.Close()
	res, err := http.Get(s.URL + "/stream?n=3")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	first := make([]byte, 7)
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "line 1 " {
		t.Errorf("got %q, %v", first, err)
	}
	rest, err := io.ReadAll(res.Body)
	if err != nil || strings.Count(string(rest), "line ") != 2 {
		t.Errorf("got %q, %v", rest, err)
	}
}
