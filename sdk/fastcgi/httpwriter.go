package fastcgi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mevdschee/tqserver/sdk/cgi"
)

// sniffLen is what http.DetectContentType looks at.
const sniffLen = 512

// httpWriter is the http.ResponseWriter of one request.
type httpWriter struct {
	w      *ResponseWriter
	r      *Request
	req    *http.Request
	header http.Header

	status   int
	noBody   bool
	length   int64 // declared, -1 for none
	written  int64
	sniff    []byte // held back until the type of the content is known
	sniffing bool
	hijacked *hijackedConn
	declared []string // trailers
	headEnd  int      // where in the buffer the head's empty line begins; 0: has left
	err      error
}

var (
	_ http.Flusher  = (*httpWriter)(nil)
	_ http.Hijacker = (*httpWriter)(nil)
	_ io.ReaderFrom = (*httpWriter)(nil)
)

// Header implements http.ResponseWriter.
func (h *httpWriter) Header() http.Header { return h.header }

// WriteHeader implements http.ResponseWriter.
func (h *httpWriter) WriteHeader(status int) {
	switch {
	case h.hijacked != nil, h.status != 0:
		return
	case status < 100 || status > 999:
		panic("fastcgi: invalid status code " + strconv.Itoa(status))
	case status < 200 && status != http.StatusSwitchingProtocols:
		h.inform(status)
		return
	}
	h.status = status
	h.length = -1
	h.noBody = status == http.StatusNoContent || status == http.StatusNotModified || status < 200
	if v := h.header["Content-Length"]; len(v) > 0 {
		n, err := strconv.ParseInt(v[0], 10, 64)
		if err == nil && n >= 0 {
			h.length = n
		} else {
			delete(h.header, "Content-Length")
		}
	}
	_, hasType := h.header["Content-Type"]
	_, encoded := h.header["Content-Encoding"]
	h.sniffing = !hasType && !encoded && !h.noBody && h.req.Method != http.MethodHead && h.length != 0
	h.writeHead()
	if !h.sniffing {
		h.endHead("")
	}
}

// inform sends an informational response at once, if there is a way to.
func (h *httpWriter) inform(status int) {
	if !h.r.conn.srv.Extended || h.err != nil {
		return
	}
	h.writeFields(status)
	_, _ = h.w.WriteString("\r\n")
	h.err = h.w.Flush()
}

// writeHead writes all but the empty line.
func (h *httpWriter) writeHead() {
	if h.r.conn.srv.Extended {
		h.declared = declaredTrailers(h.header)
	}
	h.writeFields(h.status)
	if len(h.declared) > 0 && !h.noBody && h.length < 0 {
		_, _ = h.w.WriteString("Trailer: " + strings.Join(h.declared, ", ") + "\r\n")
	}
}

// writeFields writes the status and the headers. Header order is by name, so
// that the same answer is the same bytes.
func (h *httpWriter) writeFields(status int) {
	var b [128]byte
	line := append(b[:0], "Status: "...)
	line = strconv.AppendInt(line, int64(status), 10)
	line = append(line, ' ')
	line = append(line, http.StatusText(status)...)
	line = append(line, '\r', '\n')
	_, h.err = h.w.Write(line)
	if len(h.header) < 2 {
		for name, values := range h.header {
			h.writeField(name, values)
		}
		return
	}
	var space [24]string
	names := space[:0]
	for name := range h.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		// What is set of a trailer before its time is no header.
		if !slices.Contains(h.declared, name) {
			h.writeField(name, h.header[name])
		}
	}
}

func (h *httpWriter) writeField(name string, values []string) {
	switch name {
	case "Transfer-Encoding", "Trailer", "Keep-Alive", "Status":
		return
	case "Connection", "Upgrade":
		if h.status != http.StatusSwitchingProtocols {
			return
		}
	}
	if !cgi.ValidToken(name) {
		// Trailers (http.TrailerPrefix) are among these.
		return
	}
	for _, v := range values {
		_, _ = h.w.WriteString(name)
		_, _ = h.w.WriteString(": ")
		_, _ = h.w.WriteString(oneLine(v))
		_, _ = h.w.WriteString("\r\n")
	}
}

// oneLine makes spaces of what would end a header.
func oneLine(v string) string {
	if !strings.ContainsAny(v, "\r\n\x00") {
		return v
	}
	return strings.Map(func(c rune) rune {
		if c == '\r' || c == '\n' || c == 0 {
			return ' '
		}
		return c
	}, v)
}

// endHead writes what is left of the head; contentType may be empty.
func (h *httpWriter) endHead(contentType string) {
	if contentType != "" {
		_, _ = h.w.WriteString("Content-Type: ")
		_, _ = h.w.WriteString(contentType)
		_, _ = h.w.WriteString("\r\n")
	}
	h.headEnd = h.w.mark()
	_, h.err = h.w.WriteString("\r\n")
	h.sniffing = false
}

// Write implements http.ResponseWriter.
func (h *httpWriter) Write(p []byte) (int, error) {
	if h.hijacked != nil {
		return 0, http.ErrHijacked
	}
	if h.status == 0 {
		h.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if h.noBody {
		return 0, http.ErrBodyNotAllowed
	}
	h.written += int64(len(p))
	if h.length >= 0 && h.written > h.length {
		h.written -= int64(len(p))
		return 0, http.ErrContentLength
	}
	if h.req.Method == http.MethodHead {
		return len(p), nil
	}
	if h.sniffing {
		if len(h.sniff)+len(p) < sniffLen {
			h.sniff = append(h.sniff, p...)
			return len(p), nil
		}
		if err := h.sniffed(p); err != nil {
			return 0, err
		}
	}
	return h.w.Write(p)
}

// WriteString implements io.StringWriter.
func (h *httpWriter) WriteString(s string) (int, error) { return h.Write([]byte(s)) }

// sniffed ends the head with the type that the content seems to have, p being
// what comes after what was held back.
func (h *httpWriter) sniffed(p []byte) error {
	if !h.sniffing {
		return nil
	}
	held := h.sniff
	look := held
	switch {
	case len(held) == 0:
		look = p
	case len(p) > 0:
		look = append(held, p[:min(len(p), sniffLen-len(held))]...)
	}
	contentType := ""
	if len(look) > 0 {
		contentType = http.DetectContentType(look)
	}
	h.endHead(contentType)
	if len(held) > 0 {
		_, h.err = h.w.Write(held)
		h.sniff = nil
	}
	return h.err
}

// ReadFrom implements io.ReaderFrom: a body is copied once.
func (h *httpWriter) ReadFrom(src io.Reader) (int64, error) {
	if h.status == 0 {
		h.WriteHeader(http.StatusOK)
	}
	if h.sniffing || h.hijacked != nil || h.noBody || h.length >= 0 || h.req.Method == http.MethodHead {
		return io.Copy(struct{ io.Writer }{h}, src)
	}
	n, err := h.w.ReadFrom(src)
	h.written += n
	return n, err
}

// Flush implements http.Flusher.
func (h *httpWriter) Flush() { _ = h.FlushError() }

// FlushError is what http.ResponseController calls.
func (h *httpWriter) FlushError() error {
	if h.hijacked != nil {
		return http.ErrHijacked
	}
	if h.status == 0 {
		h.WriteHeader(http.StatusOK)
	}
	if err := h.sniffed(nil); err != nil {
		return err
	}
	h.headEnd = 0
	return h.w.Flush()
}

// SetReadDeadline is what http.ResponseController calls.
func (h *httpWriter) SetReadDeadline(t time.Time) error { return h.w.SetReadDeadline(t) }

// SetWriteDeadline is what http.ResponseController calls.
func (h *httpWriter) SetWriteDeadline(t time.Time) error { return h.w.SetWriteDeadline(t) }

// EnableFullDuplex is what http.ResponseController calls: it always is.
func (h *httpWriter) EnableFullDuplex() error { return nil }

// finish completes the response. A body shorter than its Content-Length is cut
// off, so that nobody takes it for whole.
func (h *httpWriter) finish() {
	if h.hijacked != nil {
		// Others may use the connection after the handler has returned.
		h.hijacked.wait()
		return
	}
	if h.status == 0 {
		h.WriteHeader(http.StatusOK)
	}
	_ = h.sniffed(nil)
	head := h.req.Method == http.MethodHead
	trailers := h.trailers()
	switch {
	case h.noBody:
	case len(trailers) > 0 || len(h.declared) > 0:
		h.w.setTrailers(trailers)
	case h.length >= 0 && h.written < h.length && !head:
		h.w.Abort()
	case h.length < 0 && (!head || h.written > 0) && h.header["Transfer-Encoding"] == nil:
		// The whole of it is in the buffer: its length is known.
		h.w.insertLength(h.headEnd, h.written)
	}
}

// Hijack implements http.Hijacker. The connection is the request's streams.
func (h *httpWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if h.hijacked != nil {
		return nil, nil, http.ErrHijacked
	}
	nc := newHijackedConn(h)
	if h.status != 0 {
		// The head was written, as net/http allows: what follows is content.
		_ = h.sniffed(nil)
		nc.opened = true
		if err := h.w.Flush(); err != nil {
			return nil, nil, err
		}
	}
	h.hijacked = nc
	return nc, bufio.NewReadWriter(bufio.NewReader(nc), bufio.NewWriter(nc)), nil
}
