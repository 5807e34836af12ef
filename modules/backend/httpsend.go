package backend

import (
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/cgi"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// notSentError is a request of which nothing has left.
type notSentError struct{ err error }

// Error implements error.
func (e *notSentError) Error() string { return "nothing was sent: " + e.err.Error() }

// Unwrap returns the cause.
func (e *notSentError) Unwrap() error { return e.err }

// sendHTTP sends the head of the request; a body follows by itself. What fails
// after the first byte is met by who reads the answer, which may be there.
func (s *stream) sendHTTP(conn *httpConn) error {
	out := s.outgoing()
	conn.begin(out)
	if !s.hasBody {
		if err := conn.write(out); err != nil && !conn.sent {
			return &notSentError{err}
		}
		return nil
	}
	// Else net/http reads the whole body before it sends the answer's head.
	_ = s.control.EnableFullDuplex()
	sending := newUpload(s.r)
	began := make(chan error, 1)
	sending.before = func() error { // nothing is held back while the client is waited for
		err := conn.out.Flush()
		select {
		case began <- err:
		default:
		}
		return err
	}
	out.Body = io.NopCloser(sending) // net/http closes it before it has flushed the end
	go func() {                      // awaited by end
		defer close(sending.done)
		err := conn.write(out)
		if err != nil {
			_ = conn.Close() // cut short it must not look whole
		}
		select {
		case began <- err: // it has no body
		default:
		}
	}()
	if err := <-began; err != nil {
		<-sending.done
		if !conn.sent {
			return &notSentError{err}
		}
	}
	s.sending = sending
	return nil
}

// headHTTP reads the head of the final answer, passing informational ones on as
// they come.
func (s *stream) headHTTP(conn *httpConn) (*cgi.Head, error) {
	for interim := 0; ; {
		res, err := conn.head() //nolint:bodyclose // it is read to its end, or its connection closed
		switch {
		case err != nil:
			return nil, err
		case res.StatusCode == http.StatusSwitchingProtocols && !s.upgrade:
			return nil, errUnasked
		case res.StatusCode >= http.StatusOK || res.StatusCode == http.StatusSwitchingProtocols:
			head := headOf(res.StatusCode, res.Header)
			head.ContentLength = res.ContentLength
			head.Trailer = strings.Join(slices.Sorted(maps.Keys(res.Trailer)), ", ")
			return head, nil
		}
		if interim++; interim > interimMost {
			return nil, errInterim
		}
		s.inform(headOf(res.StatusCode, res.Header))
	}
}

var errUnasked = errors.New("status 101, and nobody asked for an upgrade")

// outgoing is the request as the worker gets it: the client's, without what is
// between client and server only, and with what only this server may say.
func (s *stream) outgoing() *http.Request {
	r := s.r
	target := *r.URL
	target.Scheme, target.Host, target.User = "http", r.Host, nil
	if target.Host == "" {
		target.Host = "localhost" // of HTTP/1.0: its URL has to have one
	}
	out := &http.Request{Method: r.Method, URL: &target, Host: r.Host, Header: s.headers()}
	if s.hasBody {
		out.ContentLength = r.ContentLength
		out.Trailer = r.Trailer // filled when the body has been read
	}
	if out.ContentLength < 0 {
		out.TransferEncoding = []string{"chunked"} // else net/http looks at the body first
	}
	return out
}

// headers are those of the request. A name that could be taken for another one,
// X_Forwarded_For, is dropped as it is for FastCGI, and as nginx does.
func (s *stream) headers() http.Header {
	r := s.r
	h := make(http.Header, len(r.Header)+6)
	for name, values := range r.Header {
		if plainName(name) {
			h[name] = values
		}
	}
	trailers := slices.Contains(tokens(h["Te"]), "trailers")
	hopByHop(h)
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	if s.upgrade {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, r.Header["Upgrade"]
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""} // none, instead of net/http's
	}
	delete(h, "Expect") // net/http has answered it
	delete(h, "Proxy")  // httpoxy, CVE-2016-5385
	s.forwarded(h)
	return h
}

// forwarded says for whom the request is sent on. What a client says of that is
// not to be trusted.
func (s *stream) forwarded(h http.Header) {
	for name := range h {
		if name == "Forwarded" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			delete(h, name)
		}
	}
	if ip, _, err := net.SplitHostPort(s.r.RemoteAddr); err == nil {
		h["X-Forwarded-For"] = []string{ip}
	}
	proto := "http"
	if s.r.TLS != nil {
		proto = "https"
	}
	h["X-Forwarded-Proto"] = []string{proto}
	if s.r.Host != "" {
		h["X-Forwarded-Host"] = []string{s.r.Host}
	}
	delete(h, "X-Request-Id")
	if id := api.RequestID(s.r.Context()); id != "" {
		h["X-Request-Id"] = []string{id}
	}
}

// plainName says whether a header's name has letters, digits and dashes only.
func plainName(name string) bool {
	return !strings.ContainsFunc(name, func(c rune) bool {
		return c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
}

// hopByHop removes what is meant for the next hop only (RFC 9110, section 7.6.1).
func hopByHop(h http.Header) {
	for _, name := range tokens(h["Connection"]) {
		delete(h, textproto.CanonicalMIMEHeaderKey(name))
	}
	for _, name := range [...]string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade",
	} {
		delete(h, name)
	}
}

// tokens are those of a header that is a list of them, in lower case.
func tokens(values []string) []string {
	var list []string
	for _, value := range values {
		for token := range strings.SplitSeq(value, ",") {
			list = append(list, strings.ToLower(strings.TrimSpace(token)))
		}
	}
	return list
}

// headOf is the head of an answer without what was between worker and server
// only. It takes h over.
func headOf(status int, h http.Header) *cgi.Head {
	upgrade := h["Upgrade"]
	hopByHop(h)
	if status == http.StatusSwitchingProtocols {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, upgrade
	}
	return &cgi.Head{Status: status, ContentLength: -1, Fields: pairs(h)}
}

func pairs(h http.Header) fastcgi.Params {
	list := make(fastcgi.Params, 0, len(h))
	for name, values := range h {
		for _, value := range values {
			list = append(list, cgi.Param{Name: name, Value: value})
		}
	}
	return list
}
