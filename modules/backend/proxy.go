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

func (h *streamHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.page(w, r, r.URL.Path) {
		return
	}
	c := h.newCall(w, r)
	c.streams = true
	defer c.account()
	hasBody := r.Body != nil && r.Body != http.NoBody
	upgrade := !hasBody && wantsUpgrade(r)
	if err := h.start(c, hasBody, upgrade); err != nil {
		c.fail(c.notSent(err))
		return
	}
	// One request to a connection: closing it tells the process.
	conn := c.conn
	gone := context.AfterFunc(r.Context(), func() { _ = conn.Close() })
	control := http.NewResponseController(w)
	var sending *upload
	if hasBody {
		// Else net/http reads the whole body before it sends the answer's head.
		_ = control.EnableFullDuplex()
		sending = startUpload(conn, r)
	}
	whole := false
	defer func() {
		if !gone() || !whole {
			_ = conn.Close()
		}
		if sending != nil {
			sending.end(control)
		}
		h.pool.put(conn)
	}()
	whole = h.answer(c, control, sending, upgrade)
}

// over is the same handler before another pool.
func (h *streamHandler) over(p *pool) http.Handler { return &streamHandler{h.with(p)} }

// start sends the request's head to a free connection. What an upgraded
// connection carries follows as a body does.
func (h *streamHandler) start(c *call, hasBody, upgrade bool) error {
	params := h.params.get()
	defer h.params.put(params)
	*params = h.environment(*params, c.r, hasBody)
	body := []byte{} // none; nil says that it follows
	if hasBody || upgrade {
		body = nil
	}
	return c.start(*params, body)
}

func (h *streamHandler) environment(dst fastcgi.Params, r *http.Request, hasBody bool) fastcgi.Params {
	length := r.ContentLength
	if !hasBody {
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
	dst = cgi.AppendEnv(dst, r, cgi.Env{ServerSoftware: h.software, ContentLength: length})
	dst = append(dst, cgi.Param{Name: "SCRIPT_NAME", Value: h.prefix})
	return append(dst, cgi.Param{Name: "PATH_INFO", Value: r.URL.Path[len(h.prefix):]}, cgi.Param{Name: queueTime})
}

// answer sends the response on, flushed piece by piece, and says whether it
// was whole.
func (h *streamHandler) answer(c *call, control *http.ResponseController, sending *upload, upgrade bool) bool {
	chunk := *h.chunks.Get().(*[]byte)
	defer c.recycle(chunk)
	head, piece, err := c.finalHead(chunk[:0], upgrade)
	if err != nil {
		c.interrupted()
		if broken := sending.broken(); broken != nil {
			c.fail(badBody(broken)) // and that closed the connection
			return false
		}
		c.fail(c.badAnswer(err))
		return false
	}
	if head.Status == http.StatusSwitchingProtocols {
		return h.switchProtocols(c, control, head, piece, chunk)
	}
	if upgrade {
		_ = c.conn.CloseStdin() // the worker declined; an error is met by the reading side
	}
	if head.Trailer != "" {
		c.w.Header().Set("Trailer", head.Trailer)
	}
	c.writeHead(head)
	var sent answered
	for {
		err := c.write(head, &sent, piece)
		if (err == nil || errors.Is(err, errEnough)) && !c.conn.Ended() {
			err = control.Flush()
		}
		if err != nil && !errors.Is(err, errEnough) {
			c.fail(clientLeft("the client left before it had the whole response", err))
		}
		n, err := c.conn.Read(chunk[:cap(chunk)])
		piece = chunk[:n]
		switch {
		case n > 0:
		case errors.Is(err, io.EOF):
			c.checkLength(head, sent)
			c.sendTrailers(control, head)
			return true
		case err != nil:
			c.interrupted()
			f := c.badAnswer(err)
			f.what += ", in the midst of its response"
			c.fail(f)
		}
	}
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
