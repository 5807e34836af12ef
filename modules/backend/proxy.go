package backend

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/mevdschee/tqserver/core/api"
	"github.com/mevdschee/tqserver/sdk/cgi"
	"github.com/mevdschee/tqserver/sdk/fastcgi"
)

// streamHandler serves a worker whose process takes part in the exchange: both
// bodies go through as they come, and the process learns at once when the
// client leaves.
type streamHandler struct{ *worker }

// stream is one request on its way, by FastCGI or, as http*.go have it, by HTTP.
type stream struct {
	call
	control http.ResponseController // by value: it is not worth an allocation
	hasBody bool
	upgrade bool        // the client asks for another protocol
	sending *upload     // of the body, once it has begun
	gone    func() bool // ends the watch for the client, as context.AfterFunc's
}

func (h *streamHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.page(w, r, r.URL.Path) || h.trouble != nil && h.trouble().shows(w, r) {
		return
	}
	s := &stream{control: *http.NewResponseController(w), hasBody: r.Body != nil && r.Body != http.NoBody}
	s.call = call{worker: h.worker, w: w, r: r, streams: true}
	s.upgrade = !s.hasBody && wantsUpgrade(r)
	s.serve()
}

// over is the same handler before another pool.
func (h *streamHandler) over(p *pool) http.Handler { return &streamHandler{h.with(p)} }

func (s *stream) serve() {
	defer s.account()
	if err := s.start(s); err != nil {
		s.fail(s.notSent(err))
		return
	}
	conn, whole := s.conn, false
	if s.hasBody && conn.fcgi != nil {
		// Else net/http reads the whole body before it sends the answer's head.
		_ = s.control.EnableFullDuplex()
		s.sending = startUpload(conn, s.r)
	}
	defer func() {
		if !s.gone() || !whole {
			_ = conn.Close()
		}
		s.sending.end(&s.control)
		s.pool.put(conn)
	}()
	whole = s.answer()
}

// send sends the request's head. What an upgraded connection carries follows as
// a body does.
func (s *stream) send(conn *poolConn) error {
	// One request to a connection: closing it tells the process.
	s.gone = context.AfterFunc(s.r.Context(), func() { _ = conn.Close() })
	err := s.sendHead(conn)
	if err != nil {
		s.gone()
	}
	return err
}

func (s *stream) sendHead(conn *poolConn) error {
	if conn.http != nil {
		return s.sendHTTP(conn.http)
	}
	params := s.params.get()
	defer s.params.put(params)
	*params = s.environment(*params)
	body := []byte{} // none; nil says that it follows
	if s.hasBody || s.upgrade {
		body = nil
	}
	return s.startFCGI(conn, *params, body)
}

func (s *stream) environment(dst fastcgi.Params) fastcgi.Params {
	r := s.r
	length := r.ContentLength
	if !s.hasBody {
		length = 0
	}
	id := cgi.Param{Name: requestID, Value: api.RequestID(r.Context())}
	if f := api.FastCGIFrom(r.Context()); f != nil {
		for _, p := range f.Params {
			if p.Name != queueTime && p.Name != id.Name { // ours to say
				dst = append(dst, p)
			}
		}
		return append(dst, id, cgi.Param{Name: queueTime})
	}
	dst = append(dst, id)
	if len(r.Trailer) > 0 {
		dst = append(dst, cgi.Param{Name: "HTTP_TRAILER", Value: strings.Join(slices.Sorted(maps.Keys(r.Trailer)), ", ")})
	}
	dst = cgi.AppendEnv(dst, r, cgi.Env{ServerSoftware: s.software, ContentLength: length})
	dst = append(dst, cgi.Param{Name: "SCRIPT_NAME", Value: s.prefix})
	return append(dst, cgi.Param{Name: "PATH_INFO", Value: r.URL.Path[len(s.prefix):]}, cgi.Param{Name: queueTime})
}

// answer sends the response on, and says whether it was whole.
func (s *stream) answer() bool {
	chunk := *s.chunks.Get().(*[]byte)
	defer s.recycle(chunk)
	head, piece, err := s.finalHead(chunk[:0])
	if err != nil {
		s.unanswered(err)
		return false
	}
	if head.Status == http.StatusSwitchingProtocols {
		return s.switchProtocols(head, piece, chunk)
	}
	if s.upgrade && s.conn.fcgi != nil {
		_ = s.conn.CloseStdin() // the worker declined; an error is met by the reading side
	}
	return s.relay(head, piece, chunk)
}

// relay sends a final response on, flushed piece by piece.
func (s *stream) relay(head *cgi.Head, piece, chunk []byte) bool {
	if head.Trailer != "" {
		s.w.Header().Set("Trailer", head.Trailer)
	}
	s.writeHead(head, -1)
	var sent answered
	for {
		err := s.write(head, &sent, piece)
		if (err == nil || errors.Is(err, errEnough)) && !s.conn.Ended() {
			err = s.control.Flush()
		}
		if err != nil && !errors.Is(err, errEnough) {
			s.fail(clientLeft("the client left before it had the whole response", err))
		}
		n, err := s.conn.Read(chunk[:cap(chunk)])
		piece = chunk[:n]
		switch {
		case n > 0:
		case errors.Is(err, io.EOF):
			s.checkLength(head, sent)
			s.sendTrailers(&s.control, head)
			return true
		case err != nil:
			s.interrupted()
			s.fail(s.brokenAnswer(err))
		}
	}
}

// unanswered fails a request whose answer did not begin. It does not return
// normally when the client has left.
func (s *stream) unanswered(err error) {
	s.interrupted()
	if broken := s.sending.broken(); broken != nil {
		s.fail(badBody(broken))
		return
	}
	s.fail(s.badAnswer(err))
}

// interrupted learns why reading the answer failed: the client's leave is no
// failure of the worker's.
func (c *call) interrupted() {
	c.why = c.pool.fateOf(c.conn)
	if c.why == running && c.r.Context().Err() != nil {
		c.outcome = outcomeAborted
		panic(http.ErrAbortHandler) // returning would be a 200
	}
}
