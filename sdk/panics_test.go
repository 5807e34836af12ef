package sdk

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The wrapper under a real server: net/http's has the same contract as
// sdk/fastcgi's.
func TestRecoverPanics(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		status  int // 0: broken off
		logged  bool
	}{
		"none":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, 200, false},
		"before":      {func(http.ResponseWriter, *http.Request) { panic("boom") }, 500, true},
		"header set":  {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "9"); panic("boom") }, 500, true},
		"after hints": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); panic("boom") }, 500, true},
		"after head":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); panic("boom") }, 0, true},
		"after body":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "half"); panic("boom") }, 0, true},
		"after copy": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, strings.NewReader("half"))
			panic("boom")
		}, 0, true},
		"after flush":  {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); panic("boom") }, 0, true},
		"abort":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, false},
		"after hijack": {func(w http.ResponseWriter, _ *http.Request) { hijack(w); panic("boom") }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h := recoverPanics(c.handler, slog.New(slog.NewTextHandler(&log, nil)))
			done := make(chan struct{})
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(done)
				h.ServeHTTP(w, r)
			}))
			s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			s.Start()
			client := s.Client()
			r, err := client.Get(s.URL + "/x?y")
			if err == nil {
				_, err = io.ReadAll(r.Body)
				_ = r.Body.Close()
			}
			client.CloseIdleConnections()
			<-done
			s.Close()
			if c.status == 0 && err == nil {
				t.Errorf("passed for whole: %v", r.Status)
			}
			if c.status != 0 && (err != nil || r.StatusCode != c.status) {
				t.Errorf("%v, %v", r, err)
			}
			text := log.String()
			if c.logged != (strings.Contains(text, "panic=boom") && strings.Contains(text, "/x?y") && strings.Contains(text, "panics_test.go")) {
				t.Errorf("log: %q", text)
			}
		})
	}
}

func hijack(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.Close()
}
