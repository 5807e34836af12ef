package main

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/mevdschee/tqserver/sdk"
)

//go:embed page.html
var pageText string

// formMemory bounds what of a posted form is kept in memory; files above it go
// to temporary files.
const formMemory = 1 << 20

// newHandler serves the pages of the sample, and registers what it counts.
func newHandler(c config, metrics prometheus.Registerer) (http.Handler, error) {
	text, err := template.New("page").Parse(pageText)
	if err != nil {
		return nil, err
	}
	page := &page{text, c.Title}
	shown := promauto.With(metrics).NewCounter(prometheus.CounterOpts{Name: "index_pages_total", Help: "Pages shown."})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		shown.Inc()
		page.show(w, r, nil)
	})
	mux.HandleFunc("POST /form", page.form)
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) { stream(w, r, c.Stream) })
	mux.HandleFunc("GET /socket", socket)
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("POST /mirror", mirror)
	return mux, nil
}

// page is the one page of the sample.
type page struct {
	text  *template.Template
	title string
}

// pair is a line of a table.
type pair struct{ Name, Value string }

// show answers with the request as the worker sees it.
func (p *page) show(w http.ResponseWriter, r *http.Request, posted []pair) {
	got := []pair{
		{"Method", r.Method},
		{"URL", r.URL.String()},
		{"Protocol", r.Proto},
		{"Host", r.Host},
		{"Client", r.RemoteAddr},
		{"TLS", strconv.FormatBool(r.TLS != nil)},
		{"Request", sdk.RequestID(r.Context())},
		{"Waited", sdk.QueueTime(r.Context()).String()},
		{"Worker", sdk.WorkerName(r.Context())},
	}
	var headers []pair
	for name, values := range r.Header {
		headers = append(headers, pair{name, strings.Join(values, ", ")})
	}
	slices.SortFunc(headers, func(a, b pair) int { return strings.Compare(a.Name, b.Name) })
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// An error means that the client left: there is nobody to tell.
	_ = p.text.Execute(w, map[string]any{"Title": p.title, "Got": got, "Headers": headers, "Posted": posted})
}

// formMost bounds a posted form, files included.
const formMost = 64 << 20

// form shows what was posted, urlencoded or multipart.
func (p *page) form(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formMost)
	err := r.ParseMultipartForm(formMemory) //nolint:gosec // bounded just above; files beyond formMemory go to disk
	if err != nil && !errors.Is(err, http.ErrNotMultipart) {
		http.Error(w, "the form cannot be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	var posted []pair
	for name, values := range r.PostForm {
		for _, value := range values {
			posted = append(posted, pair{name, value})
		}
	}
	if r.MultipartForm != nil {
		defer func() { _ = r.MultipartForm.RemoveAll() }()
		for name, files := range r.MultipartForm.File {
			for _, f := range files {
				posted = append(posted, pair{name, fmt.Sprintf("file %s, %d bytes", f.Filename, f.Size)})
			}
		}
	}
	slices.SortFunc(posted, func(a, b pair) int { return strings.Compare(a.Name, b.Name) })
	p.show(w, r, posted)
}

// streamMost bounds the lines of one stream.
const streamMost = 100

// stream sends a line every so often, each at once: ?n=5 lines.
func stream(w http.ResponseWriter, r *http.Request, every time.Duration) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil || n < 1 {
		n = 5
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	control := http.NewResponseController(w)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := range min(n, streamMost) {
		fmt.Fprintf(w, "line %d at %s\n", i+1, time.Now().Format(time.RFC3339Nano))
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done(): // the client left
			return
		}
	}
}

// echo answers with length and checksum of the body, which it never holds whole.
func echo(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, "the body cannot be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%d bytes, sha256 %x\n", n, sum.Sum(nil))
}

// mirror answers with the body, piece by piece as it comes.
func mirror(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()
	piece := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(piece)
		if n > 0 {
			if _, err := w.Write(piece[:n]); err != nil {
				return // the client left
			}
			_ = control.Flush()
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // half of it must not look whole
		}
	}
}
