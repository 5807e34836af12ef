package admin

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/settings"
)

func TestOnlyThisServersNamesAndPagesMayAsk(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Hosts = []string{"Status.example.org"}
	op := &fakeOperator{workers: []api.WorkerStatus{busy("blog")}}
	a := newAdmin(t, cfg, op, false)
	for _, c := range []struct {
		want   int
		header []string
	}{
		{200, nil},
		{200, []string{"Host", "localhost:8090"}},
		{200, []string{"Host", "LOCALHOST."}},
		{200, []string{"Host", "[::1]:8090"}},
		{200, []string{"Host", "10.1.2.3"}},
		{200, []string{"Host", "status.example.org:80"}},
		{403, []string{"Host", "evil.example"}},
		{403, []string{"Host", "evil.example:8090"}},
		{403, []string{"Host", "127.0.0.1.evil.example"}},
		{403, []string{"Host", "localhost.evil.example"}},
		{403, []string{"Host", ""}},
		{403, []string{"Host", "[::1]evil"}},
		{200, []string{"Origin", "http://127.0.0.1:8090"}},
		{403, []string{"Origin", "http://evil.example"}},
		{403, []string{"Origin", "http://127.0.0.1:8080"}},
		{403, []string{"Origin", "null"}},
		{403, []string{"Origin", "%"}},
		{200, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}},
		{200, []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}},
		{200, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}},
		{403, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}},
		{403, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}},
		{403, []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}},
	} {
		for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/status", "/status/blog?json&full"} {
			w := get(a, "GET", path, c.header...)
			if w.Code != c.want || w.Code == 403 && strings.Contains(w.Body.String(), "blog") {
				t.Errorf("%s %q: %d, want %d: %.200s", path, c.header, w.Code, c.want, w.Body)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("X-Content-Type-Options") != "nosniff" ||
				!strings.Contains(w.Header().Get("Cache-Control"), "no-store") {
				t.Errorf("%s: %v", path, w.Header())
			}
		}
	}
}

func TestNothingButReading(t *testing.T) {
	op := &fakeOperator{workers: []api.WorkerStatus{busy("blog")}}
	a := newAdmin(t, DefaultConfig(), op, false)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PURGE"} {
		for _, path := range []string{"/", "/healthz", "/status/blog", "/metrics"} {
			if w := get(a, method, path); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d %v", method, path, w.Code, w.Header())
			}
		}
	}
	if n := op.asked.Load(); n != 0 {
		t.Errorf("%d questions to the operator", n)
	}
}

func TestToken(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Token = settings.NewSecret("s3cret")
	op := &fakeOperator{workers: []api.WorkerStatus{{Worker: "blog", State: api.WorkerDown, Reason: "of the database"}}}
	a := newAdmin(t, cfg, op, false)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:s3cret"))
	for _, path := range []string{"/", "/metrics", "/status", "/status/blog", "/nowhere"} {
		for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret ", "bearer s3cret x", "Basic czNjcmV0", "s3cret"} {
			if w := get(a, "GET", path, "Authorization", authorization); w.Code != 401 || strings.Contains(w.Body.String(), "database") || len(w.Header().Values("WWW-Authenticate")) != 2 {
				t.Errorf("%s with %q: %d %v", path, authorization, w.Code, w.Header())
			}
		}
		for _, authorization := range []string{"Bearer s3cret", basic} {
			if w := get(a, "GET", path, "Authorization", authorization); w.Code == 401 || strings.Contains(w.Body.String(), "s3cret") {
				t.Errorf("%s with %q: %d", path, authorization, w.Code)
			}
		}
	}
	// Orchestrators hold no token, and hear no reasons.
	if w := get(a, "GET", "/readyz"); w.Code != 503 || w.Body.String() != "not ready\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := get(a, "GET", "/readyz", "Authorization", "Bearer s3cret"); !strings.Contains(w.Body.String(), "of the database") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := get(a, "GET", "/healthz"); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}
