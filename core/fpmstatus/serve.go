package fpmstatus

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/mevdschee/tqserver/core/api"
)

// Full says whether the page that r asks for tells about processes, so that
// they must be in the status.
func Full(r *http.Request) bool {
	_, full := Query(r.URL.RawQuery)
	return full
}

// Serve answers with the page in the format that the query asks for.
func Serve(w http.ResponseWriter, r *http.Request, s api.WorkerStatus) {
	f, full := Query(r.URL.RawQuery)
	var page bytes.Buffer
	_ = Write(&page, &s, f, full, time.Now()) // a buffer takes everything
	answer(w, r, f.ContentType(), page.Bytes())
}

// ServePing answers as FPM's ping.path does; response is ping.response.
func ServePing(w http.ResponseWriter, r *http.Request, response string) {
	answer(w, r, FormatText.ContentType(), []byte(response))
}

func answer(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	h := w.Header()
	h.Set("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate, max-age=0")
	h.Set("Content-Type", contentType)
	// The page shows what clients sent.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// Text writes the page for a terminal, as of now.
func Text(w io.Writer, s api.WorkerStatus, full bool) error {
	return Write(w, &s, FormatText, full, time.Now())
}
