package cgi

import (
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// Env is what AppendEnv cannot see in the request itself.
type Env struct {
	// ServerSoftware is SERVER_SOFTWARE; empty leaves it out.
	ServerSoftware string
	// ServerName is SERVER_NAME; empty means the request's host without port.
	ServerName string
	// ContentLength in bytes is what will really be sent; -1 means no body,
	// and then there is no CONTENT_LENGTH (RFC 3875, section 4.1.2).
	ContentLength int64
}

// AppendEnv appends the CGI/1.1 environment of r to dst. SCRIPT_NAME,
// SCRIPT_FILENAME, PATH_INFO and DOCUMENT_ROOT are the caller's to append.
// The local address comes from http.LocalAddrContextKey.
//
// Only headers whose name has nothing but letters, digits and `-` become
// HTTP_ variables, so that none can pass for another; Proxy, Content-Type and
// Content-Length never do.
func AppendEnv(dst []Param, r *http.Request, e Env) []Param {
	uri := r.RequestURI
	if uri == "" || !strings.HasPrefix(uri, "/") {
		uri = r.URL.RequestURI()
	}
	scheme, port := "http", "80"
	if r.TLS != nil {
		scheme, port = "https", "443"
	}
	dst = append(dst,
		Param{"GATEWAY_INTERFACE", "CGI/1.1"},
		Param{"SERVER_PROTOCOL", protocol(r)},
		Param{"REQUEST_METHOD", method(r)},
		Param{"REQUEST_URI", uri},
		Param{"REQUEST_SCHEME", scheme},
		Param{"QUERY_STRING", r.URL.RawQuery},
	)
	if e.ServerSoftware != "" {
		dst = append(dst, Param{"SERVER_SOFTWARE", e.ServerSoftware})
	}
	name := e.ServerName
	host, hostPort := splitHost(r.Host)
	if name == "" {
		name = host
	}
	var localIP string
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if ip, p := splitAddr(a); ip != "" {
			localIP, port = ip, p
		} else if hostPort != "" {
			port = hostPort
		}
	} else if hostPort != "" {
		port = hostPort
	}
	dst = append(dst, Param{"SERVER_NAME", name}, Param{"SERVER_PORT", port})
	if localIP != "" {
		dst = append(dst, Param{"SERVER_ADDR", localIP})
	}
	if ip, p, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		dst = append(dst, Param{"REMOTE_ADDR", ip}, Param{"REMOTE_PORT", p})
	} else if r.RemoteAddr != "" && r.RemoteAddr != "@" {
		dst = append(dst, Param{"REMOTE_ADDR", r.RemoteAddr})
	}
	if r.TLS != nil {
		dst = appendTLS(dst, r.TLS)
	}
	if t := r.Header["Content-Type"]; len(t) > 0 {
		dst = append(dst, Param{"CONTENT_TYPE", clean(t[0])})
	}
	if e.ContentLength >= 0 {
		dst = append(dst, Param{"CONTENT_LENGTH", strconv.FormatInt(e.ContentLength, 10)})
	}
	if r.Host != "" {
		dst = append(dst, Param{"HTTP_HOST", clean(r.Host)})
	}
	return appendHeaders(dst, r.Header)
}

func protocol(r *http.Request) string {
	if r.Proto != "" {
		return r.Proto
	}
	return "HTTP/1.1"
}

func method(r *http.Request) string {
	if r.Method != "" {
		return r.Method
	}
	return http.MethodGet
}

// appendHeaders makes all names that are not known beforehand in one
// allocation.
func appendHeaders(dst []Param, h http.Header) []Param {
	size := 0
	for key := range h {
		size += len("HTTP_") + len(key)
	}
	names := make([]byte, 0, size)
	first := len(dst)
	for key, values := range h {
		if len(values) == 0 || !plainName(key, h) {
			continue
		}
		from := len(names)
		names = append(names, "HTTP_"...)
		for i := range len(key) {
			c := key[i]
			switch {
			case c == '-':
				c = '_'
			case 'a' <= c && c <= 'z':
				c -= 'a' - 'A'
			}
			names = append(names, c)
		}
		value := values[0]
		if len(values) > 1 {
			sep := ", "
			if key == "Cookie" {
				sep = "; "
			}
			value = strings.Join(values, sep)
		}
		dst = append(dst, Param{strconv.Itoa(len(names) - from), clean(value)})
	}
	block := string(names)
	for i := first; i < len(dst); i++ {
		n, _ := strconv.Atoi(dst[i].Name)
		dst[i].Name, block = block[:n], block[n:]
	}
	return dst
}

// plainName says whether the header may become a variable. A name in another
// spelling than the canonical one gives way to it, since a map has no order.
func plainName(key string, h http.Header) bool {
	switch key {
	case "", "Proxy", "Content-Type", "Content-Length", "Host":
		return false
	}
	for i := range len(key) {
		if c := key[i]; !letter(c) && !digit(c) && c != '-' {
			return false
		}
	}
	if c := textproto.CanonicalMIMEHeaderKey(key); c != key {
		_, taken := h[c]
		return !taken && plainName(c, h)
	}
	return true
}

// clean cuts NUL bytes, which no param may hold (FastCGI 1.0, section 6.1);
// net/http refuses them in headers already.
func clean(s string) string {
	if strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(s, "\x00", "")
}

func splitHost(hostport string) (host, port string) {
	if h, p, err := net.SplitHostPort(hostport); err == nil {
		return h, p
	}
	return strings.Trim(hostport, "[]"), ""
}

func splitAddr(a net.Addr) (ip, port string) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return "", ""
	}
	return t.IP.String(), strconv.Itoa(t.Port)
}
