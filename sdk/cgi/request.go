package cgi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// ErrRequest is what every error of NewRequest wraps: the environment does not
// describe an HTTP request, and the answer is 400.
var ErrRequest = errors.New("cgi: not a valid request")

// NewRequest makes the HTTP request that params describe, for a server. Body is
// http.NoBody: the caller sets it. ContentLength is -1 when there is no
// CONTENT_LENGTH. The request's context is ctx.
//
// The URL is REQUEST_URI's; without one SCRIPT_NAME, PATH_INFO and
// QUERY_STRING make it. TLS is set when HTTPS is on, with what SSL_PROTOCOL,
// SSL_CIPHER and SSL_TLS_SNI (mod_ssl's names) tell.
func NewRequest(ctx context.Context, params []Param) (*http.Request, error) {
	v := scan(params)
	r := (&http.Request{}).WithContext(ctx)
	r.Body = http.NoBody
	r.Method = v.method
	if !ValidToken(v.method) {
		return nil, fmt.Errorf("%w: REQUEST_METHOD %.40q", ErrRequest, v.method)
	}
	if err := setProto(r, v.proto); err != nil {
		return nil, err
	}
	r.ContentLength = -1
	if v.length != "" && v.length != "-1" { // so Caddy before 2.9 and IIS say that they do not know
		n, ok := ParseLength(v.length)
		if !ok {
			return nil, fmt.Errorf("%w: CONTENT_LENGTH %.40q", ErrRequest, v.length)
		}
		r.ContentLength = n
	}
	r.Host = v.host
	if r.Host == "" {
		r.Host = v.serverName
	}
	if !validHost(r.Host) {
		return nil, fmt.Errorf("%w: HTTP_HOST %.80q", ErrRequest, r.Host)
	}
	header, err := v.header(params)
	if err != nil {
		return nil, err
	}
	r.Header = header
	if err := v.setURL(r); err != nil {
		return nil, err
	}
	r.TLS = v.tls.State()
	r.RemoteAddr = remoteAddr(v.remoteAddr, v.remotePort)
	return r, nil
}

// vars are the variables NewRequest needs, the last of each name.
type vars struct {
	method, proto, length, contentType, host, serverName     string
	uri, scriptName, pathInfo, query, remoteAddr, remotePort string
	tls                                                      TLS
	headers                                                  int
}

func scan(params []Param) vars {
	var v vars
	for i := range params {
		p := &params[i]
		if len(p.Name) > 5 && p.Name[:5] == "HTTP_" {
			if p.Name == "HTTP_HOST" {
				v.host = p.Value
				continue
			}
			v.headers++
			continue
		}
		switch p.Name {
		case "REQUEST_METHOD":
			v.method = p.Value
		case "SERVER_PROTOCOL":
			v.proto = p.Value
		case "CONTENT_LENGTH":
			v.length = p.Value
		case "CONTENT_TYPE":
			v.contentType = p.Value
		case "SERVER_NAME":
			v.serverName = p.Value
		case "HTTPS", "SSL_PROTOCOL", "SSL_CIPHER", "SSL_TLS_SNI":
			v.tls.Set(p.Name, p.Value)
		case "REQUEST_URI":
			v.uri = p.Value
		case "SCRIPT_NAME":
			v.scriptName = p.Value
		case "PATH_INFO":
			v.pathInfo = p.Value
		case "QUERY_STRING":
			v.query = p.Value
		case "REMOTE_ADDR":
			v.remoteAddr = p.Value
		case "REMOTE_PORT":
			v.remotePort = p.Value
		}
	}
	return v
}

// header makes the map with one allocation for all values.
func (v *vars) header(params []Param) (http.Header, error) {
	h := make(http.Header, v.headers+1)
	values := make([]string, 0, v.headers+1)
	if v.contentType != "" {
		values = append(values, v.contentType)
		h["Content-Type"] = values[0:1:1]
	}
	for i := range params {
		p := &params[i]
		if len(p.Name) <= 5 || p.Name[:5] != "HTTP_" {
			continue
		}
		key := headerName(p.Name)
		switch key {
		case "", "Host", "Proxy", "Content-Type", "Content-Length":
			continue
		}
		if !validValue(p.Value) {
			return nil, fmt.Errorf("%w: a control byte in %.80q", ErrRequest, p.Name)
		}
		n := len(values)
		values = append(values, p.Value)
		h[key] = values[n : n+1 : n+1]
	}
	if !validValue(v.contentType) {
		return nil, fmt.Errorf("%w: a control byte in CONTENT_TYPE", ErrRequest)
	}
	return h, nil
}

func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func (v *vars) setURL(r *http.Request) error {
	uri := v.uri
	if uri == "" {
		uri = (&url.URL{Path: v.scriptName + v.pathInfo, RawQuery: v.query}).RequestURI()
	}
	var u *url.URL
	var err error
	switch {
	case r.Method == http.MethodConnect && !strings.HasPrefix(uri, "/"):
		u = &url.URL{Host: uri}
	case uri == "*":
		u = &url.URL{Path: "*"}
	case uri[0] == '/', strings.HasPrefix(uri, "http://"), strings.HasPrefix(uri, "https://"):
		u, err = url.ParseRequestURI(uri)
	default:
		err = errors.New("neither a path nor an absolute URI of HTTP")
	}
	if err != nil {
		return fmt.Errorf("%w: REQUEST_URI: %w", ErrRequest, err)
	}
	r.URL = u
	r.RequestURI = uri
	return nil
}

func setProto(r *http.Request, proto string) error {
	switch proto {
	case "HTTP/1.1", "":
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	case "HTTP/2.0", "HTTP/2":
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	case "HTTP/3.0", "HTTP/3":
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/3.0", 3, 0
	case "HTTP/1.0":
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.0", 1, 0
	case "INCLUDED":
		// Server-side includes of Apache.
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.0", 1, 0
	default:
		major, minor, ok := http.ParseHTTPVersion(proto)
		if !ok {
			return fmt.Errorf("%w: SERVER_PROTOCOL %.40q", ErrRequest, proto)
		}
		r.Proto, r.ProtoMajor, r.ProtoMinor = proto, major, minor
	}
	return nil
}

// remoteAddr is what net/http has in RemoteAddr; "@" for a client at a unix
// socket, as net.UnixAddr prints one without a name.
func remoteAddr(addr, port string) string {
	if addr == "" || addr == "unix:" {
		return "@"
	}
	if port == "" {
		port = "0"
	}
	if strings.IndexByte(addr, ':') >= 0 {
		return "[" + strings.Trim(addr, "[]") + "]:" + port
	}
	return addr + ":" + port
}

// headerName turns HTTP_ACCEPT_ENCODING into Accept-Encoding, "" when it can
// be no header's name. The usual ones cost no allocation.
func headerName(param string) string {
	name := param[len("HTTP_"):]
	if known := knownHeader(name); known != "" {
		return known
	}
	var buf [64]byte
	b := append(buf[:0], name...)
	upper := true
	for i, c := range b {
		switch {
		case c == '_':
			b[i] = '-'
			upper = true
			continue
		case !tokenByte(c):
			return ""
		case upper && 'a' <= c && c <= 'z':
			b[i] = c - ('a' - 'A')
		case !upper && 'A' <= c && c <= 'Z':
			b[i] = c + ('a' - 'A')
		}
		upper = c == '-'
	}
	return textproto.CanonicalMIMEHeaderKey(string(b))
}

func knownHeader(name string) string {
	switch name {
	case "HOST":
		return "Host"
	case "USER_AGENT":
		return "User-Agent"
	case "ACCEPT":
		return "Accept"
	case "ACCEPT_ENCODING":
		return "Accept-Encoding"
	case "ACCEPT_LANGUAGE":
		return "Accept-Language"
	case "COOKIE":
		return "Cookie"
	case "CONNECTION":
		return "Connection"
	case "REFERER":
		return "Referer"
	case "ORIGIN":
		return "Origin"
	case "AUTHORIZATION":
		return "Authorization"
	case "CACHE_CONTROL":
		return "Cache-Control"
	case "CONTENT_LENGTH":
		return "Content-Length"
	case "CONTENT_TYPE":
		return "Content-Type"
	case "IF_NONE_MATCH":
		return "If-None-Match"
	case "IF_MODIFIED_SINCE":
		return "If-Modified-Since"
	case "UPGRADE_INSECURE_REQUESTS":
		return "Upgrade-Insecure-Requests"
	case "X_FORWARDED_FOR":
		return "X-Forwarded-For"
	case "X_FORWARDED_PROTO":
		return "X-Forwarded-Proto"
	case "X_FORWARDED_HOST":
		return "X-Forwarded-Host"
	case "X_REAL_IP":
		return "X-Real-Ip"
	case "X_REQUESTED_WITH":
		return "X-Requested-With"
	case "SEC_FETCH_SITE":
		return "Sec-Fetch-Site"
	case "SEC_FETCH_MODE":
		return "Sec-Fetch-Mode"
	case "SEC_FETCH_DEST":
		return "Sec-Fetch-Dest"
	case "SEC_FETCH_USER":
		return "Sec-Fetch-User"
	}
	return ""
}
