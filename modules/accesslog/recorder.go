package accesslog

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// recorder notes what is sent. It has every optional method of a response, since
// whoever asks by a type assertion does not look behind it; what is not here
// (deadlines, full duplex) http.ResponseController finds by Unwrap.
type recorder struct {
	http.ResponseWriter
	status int // 0 until the head is sent
	bytes  int64
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) sent(n int64) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.bytes += n
}

// Write implements io.Writer.
func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.ResponseWriter.Write(b)
	r.sent(int64(n))
	return n, err
}

// WriteString implements io.StringWriter.
func (r *recorder) WriteString(s string) (int, error) {
	n, err := io.WriteString(r.ResponseWriter, s)
	r.sent(int64(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom: a file is sent by the kernel.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(r.ResponseWriter, src)
	r.sent(n)
	return n, err
}

// Flush implements http.Flusher.
func (r *recorder) Flush() { _ = r.FlushError() }

// FlushError is what http.ResponseController calls.
func (r *recorder) FlushError() error {
	err := http.NewResponseController(r.ResponseWriter).Flush()
	if err == nil {
		r.sent(0)
	}
	return err
}

// Hijack implements http.Hijacker. What goes over the connection is not counted.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil && r.status == 0 {
		r.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}
