package backend

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/sdk/cgi"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// interimMost bounds the informational responses of one request.
const interimMost = 32

var errInterim = errors.New("too many informational responses")

// finalHead reads into buf until the final head is complete, passing
// informational responses on as they come, and returns what came of the body
// with it. A switch of protocols is final when it was asked for.
func (s *stream) finalHead(buf []byte) (*cgi.Head, []byte, error) {
	if s.conn.http != nil {
		head, err := s.headHTTP(s.conn.http)
		return head, nil, err
	}
	var parser cgi.HeadParser
	for interim := 0; ; {
		head, length, err := parser.Parse(buf)
		switch {
		case err != nil:
			return nil, nil, err
		case length > 0 && head.Status == http.StatusSwitchingProtocols && !s.upgrade:
			return nil, nil, &cgi.HeadError{Line: 1, Problem: "Status 101, and nobody asked for an upgrade"}
		case length > 0 && (head.Status >= http.StatusOK || head.Status == http.StatusSwitchingProtocols):
			return head, buf[length:], nil
		case length > 0:
			if interim++; interim > interimMost {
				return nil, nil, errInterim
			}
			s.inform(head)
			buf = buf[:copy(buf, buf[length:])]
			parser.Reset()
			continue
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := s.conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case n > 0:
		case errors.Is(err, io.EOF):
			return nil, nil, errNoHead
		case err != nil:
			return nil, nil, err
		}
	}
}

// inform sends an informational response on (RFC 9110, section 15.2). 100 is
// net/http's own, sent when the body is asked for.
func (c *call) inform(head *cgi.Head) {
	if head.Status == http.StatusContinue || !c.r.ProtoAtLeast(1, 1) {
		return
	}
	h := c.w.Header()
	head.CopyTo(h)
	c.w.WriteHeader(head.Status)
	for _, f := range head.Fields {
		delete(h, f.Name) // the final head has its own
	}
}

// sendTrailers sends what the worker sent behind its answer.
func (c *call) sendTrailers(control *http.ResponseController, head *cgi.Head) {
	trailers := c.conn.Trailers()
	if len(trailers) == 0 || c.bodyless(head) {
		return
	}
	var declared []string
	for name := range strings.SplitSeq(head.Trailer, ",") {
		declared = append(declared, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
	}
	if head.Trailer == "" {
		// Else a short answer gets a length instead of chunks, and no trailers.
		_ = control.Flush()
	}
	h := c.w.Header()
	for _, t := range trailers {
		name := textproto.CanonicalMIMEHeaderKey(t.Name)
		if fastcgi.ForbiddenTrailer(name) {
			continue
		}
		if !slices.Contains(declared, name) {
			name = http.TrailerPrefix + name
		}
		h.Add(name, t.Value)
	}
}
