package fastcgi

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/mevdschee/tqserver/sdk/cgi"
)

// Bounds of the trailers of one message, in bytes on the wire and in number.
const (
	maxTail     = 64 << 10
	maxTrailers = 100
)

// addTrailers collects the content of TRAILERS records.
func (c *conn) addTrailers(r *Request, b []byte) error {
	if len(r.tail)+len(b) > maxTail {
		return &protocolError{"TRAILERS are too large"}
	}
	r.tail = append(r.tail, b...)
	return nil
}

// pairsOfTail parses trailers. Wrong ones are dropped: what they belong to has
// been delivered.
func pairsOfTail(tail []byte) Params {
	if len(tail) == 0 {
		return nil
	}
	pairs, err := parseParams(nil, string(tail), maxTrailers)
	if err != nil {
		return nil
	}
	return pairs
}

// Trailers returns the trailers of the response, nil when there are none. It is
// of use after Ended.
func (c *Conn) Trailers() Params {
	if !c.ended.Load() {
		return nil
	}
	return pairsOfTail(c.tail)
}

// WriteTrailers sends the trailers of the request, before CloseStdin. The
// application must be Extended.
func (c *Conn) WriteTrailers(p Params) error {
	var content []byte
	for _, t := range p {
		if pairSize(t.Name, t.Value) > maxPair {
			return ErrPairTooLarge
		}
		content = appendPair(content, t.Name, t.Value)
	}
	for len(content) > 0 {
		n := min(len(content), chunk)
		if err := c.writeRaw(appendRecord(nil, typeTrailers, requestID, content[:n])); err != nil {
			return err
		}
		content = content[n:]
	}
	return nil
}

// ForbiddenTrailer says whether a field may not be a trailer: it frames the
// message, routes or authenticates it (RFC 9110, section 6.5.1).
func ForbiddenTrailer(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Transfer-Encoding", "Content-Length", "Trailer", "Host", "Te", "Connection", "Keep-Alive", "Upgrade",
		"Content-Encoding", "Content-Type", "Content-Range", "Authorization", "Set-Cookie", "Cookie", "Cache-Control",
		"Expect", "Max-Forwards", "Pragma", "Range", "Www-Authenticate", "Status":
		return true
	}
	return !cgi.ValidToken(name)
}

// declaredTrailers lists the names in the header Trailer.
func declaredTrailers(h http.Header) []string {
	var names []string
	for _, value := range h["Trailer"] {
		for name := range strings.SplitSeq(value, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
			if !ForbiddenTrailer(name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// trailers are what the handler has set by now of what it declared, and what it
// has set with http.TrailerPrefix.
func (h *httpWriter) trailers() Params {
	if !h.r.conn.srv.Extended || h.noBody || h.length >= 0 {
		return nil
	}
	var pairs Params
	add := func(name string, values []string) {
		for _, v := range values {
			pairs = append(pairs, Param{Name: name, Value: oneLine(v)})
		}
	}
	for _, name := range h.declared {
		add(name, h.header[name])
	}
	for name, values := range h.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && !ForbiddenTrailer(name) {
			add(name, values)
		}
	}
	return pairs
}

// setTrailers sends them behind STDOUT when the request is finished.
func (w *ResponseWriter) setTrailers(p Params) {
	var content []byte
	for _, t := range p {
		if len(content)+pairSize(t.Name, t.Value) <= maxTail {
			content = appendPair(content, t.Name, t.Value)
		}
	}
	w.mu.Lock()
	w.tail = content
	w.mu.Unlock()
}

// trailerKeys makes the request's Trailer, with the names only, of the header.
func trailerKeys(r *http.Request) {
	names := declaredTrailers(r.Header)
	delete(r.Header, "Trailer")
	if len(names) == 0 {
		return
	}
	r.Trailer = make(http.Header, len(names))
	for _, name := range names {
		r.Trailer[name] = nil
	}
}

// takeTrailers fills in what came with the end of the body; names that were not
// announced count as well, as far as they may be trailers.
func takeTrailers(to *http.Request, r *Request) {
	r.conn.mu.Lock()
	pairs := r.trailers
	r.conn.mu.Unlock()
	if len(pairs) == 0 {
		return
	}
	if to.Trailer == nil {
		to.Trailer = make(http.Header, len(pairs))
	}
	for _, p := range pairs {
		if !ForbiddenTrailer(p.Name) {
			to.Trailer.Add(p.Name, p.Value)
		}
	}
}
