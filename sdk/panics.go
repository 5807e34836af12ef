package sdk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
)

// recoverPanics logs a panic of h with its stack and answers 500, or breaks
// the answer off when it has begun, so that it cannot pass for whole.
// http.ErrAbortHandler, which is meant, is not logged.
func recoverPanics(h http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracked := &trackedWriter{ResponseWriter: w}
		defer func() { //nolint:contextcheck // the request has its own
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(http.ErrAbortHandler)
			}
			log.ErrorContext(r.Context(), "panic in the worker", "panic", fmt.Sprint(v), "method", r.Method, "url", r.URL.String(),
				"stack", string(debug.Stack()))
			if tracked.begun {
				panic(http.ErrAbortHandler)
			}
			clear(w.Header())
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		}()
		h.ServeHTTP(tracked, r)
	})
}

// trackedWriter knows whether an answer has begun.
type trackedWriter struct {
	http.ResponseWriter
	begun bool
}

var (
	_ http.Flusher  = (*trackedWriter)(nil)
	_ http.Hijacker = (*trackedWriter)(nil)
	_ io.ReaderFrom = (*trackedWriter)(nil)
)

// WriteHeader implements http.ResponseWriter. An informational answer is not
// the beginning of the final one (RFC 9110, section 15.2).
func (w *trackedWriter) WriteHeader(status int) {
	w.begun = w.begun || status >= http.StatusOK || status == http.StatusSwitchingProtocols
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *trackedWriter) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (w *trackedWriter) Flush() {
	w.begun = true
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker.
func (w *trackedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.begun = true
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// ReadFrom implements io.ReaderFrom, for io.Copy.
func (w *trackedWriter) ReadFrom(r io.Reader) (int64, error) {
	w.begun = true
	return io.Copy(w.ResponseWriter, r)
}

// Unwrap is for http.ResponseController.
func (w *trackedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
