package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guard lets nothing through but GET and HEAD, by a name of this server, from
// no page of another site, and with the token where one is set. Every answer is
// private to who asked: it is kept by no cache, in no frame, and runs no script.
func (a *Admin) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src "+a.styleHash+"; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, "405 Method Not Allowed")
		case !a.knows(r.Host):
			refuse(w, http.StatusForbidden, "403 Forbidden: this Host is not known here; admin.hosts lists the names")
		case foreign(r):
			refuse(w, http.StatusForbidden, "403 Forbidden: asked by a page of another site")
		case !probe(r) && !a.authorized(r):
			h.Set("WWW-Authenticate", `Bearer realm="tqserver"`)
			h.Add("WWW-Authenticate", `Basic realm="tqserver", charset="UTF-8"`)
			refuse(w, http.StatusUnauthorized, "401 Unauthorized: give admin.token as bearer token, or as password")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// refuse also ends the connection, so that a body is not waited for.
func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Connection", "close")
	http.Error(w, text, status)
}

// knows says whether a Host header names this server. A page of another site
// whose name was made to lead here (DNS rebinding) sends that name; nobody can
// make an IP address lead elsewhere.
func (a *Admin) knows(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return host == "localhost" || slices.ContainsFunc(a.cfg.Hosts, func(known string) bool { return strings.EqualFold(known, host) })
}

// foreign says whether a browser asks for a page of another site; following a
// link from there is allowed, as it shows the answer to nobody but the user.
func foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(u.Host, r.Host) {
			return true
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
	}
	return false
}

// probe says whether it is what orchestrators ask, who hold no token.
func probe(r *http.Request) bool { return r.URL.Path == "/healthz" || r.URL.Path == "/readyz" }

// authorized takes the same time whatever is wrong with the token.
func (a *Admin) authorized(r *http.Request) bool {
	if a.cfg.Token.IsZero() {
		return true
	}
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_, given, _ = r.BasicAuth()
	}
	want, got := sha256.Sum256([]byte(a.cfg.Token.Reveal())), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
