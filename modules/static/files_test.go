package static

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const text = "0123456789abcdefghij"

// changed is when the planted files changed.
var changed = time.Date(2025, 3, 4, 5, 6, 7, 89_000_000, time.UTC)

func plant(t *testing.T, name string) (file string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, changed, changed); err != nil {
		t.Fatal(err)
	}
	return file
}

func files(cacheControl string) *Files {
	return New(Config{CacheControl: cacheControl}, slog.New(slog.DiscardHandler))
}

// serve answers a request for file with headers (name, value, …).
func serve(t *testing.T, s *Files, method, url, file string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeFile(w, r, file)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServeFile(t *testing.T) {
	file := plant(t, "a.txt")
	s := files("")
	whole := serve(t, s, "GET", "/a.txt", file)
	tag, date := whole.Header.Get("ETag"), whole.Header.Get("Last-Modified")
	if !strings.HasPrefix(tag, `"`) || date != "Tue, 04 Mar 2025 05:06:07 GMT" {
		t.Fatalf("ETag %s, Last-Modified %s", tag, date)
	}
	const later, earlier = "Tue, 04 Mar 2025 05:06:08 GMT", "Tue, 04 Mar 2025 05:06:06 GMT"
	for _, c := range []struct {
		name    string
		method  string
		headers []string
		status  int
		body    string
	}{
		{"whole", "GET", nil, 200, text},
		{"head", "HEAD", nil, 200, ""},
		{"post", "POST", nil, 405, "Method Not Allowed\n"},
		{"put", "PUT", nil, 405, "Method Not Allowed\n"},
		{"if-none-match", "GET", []string{"If-None-Match", tag}, 304, ""},
		{"if-none-match, weakly", "GET", []string{"If-None-Match", `"x", W/` + tag}, 304, ""},
		{"if-none-match, any", "GET", []string{"If-None-Match", "*"}, 304, ""},
		{"if-none-match, other", "GET", []string{"If-None-Match", `"x"`}, 200, text},
		{"if-none-match goes before the date", "GET", []string{"If-None-Match", `"x"`, "If-Modified-Since", date}, 200, text},
		{"if-modified-since, the same", "GET", []string{"If-Modified-Since", date}, 304, ""},
		{"if-modified-since, later", "GET", []string{"If-Modified-Since", later}, 304, ""},
		{"if-modified-since, earlier", "GET", []string{"If-Modified-Since", earlier}, 200, text},
		{"if-modified-since, no date", "GET", []string{"If-Modified-Since", "yesterday"}, 200, text},
		{"if-match", "GET", []string{"If-Match", tag}, 200, text},
		{"if-match, other", "GET", []string{"If-Match", `"x"`}, 412, ""},
		{"if-unmodified-since, earlier", "GET", []string{"If-Unmodified-Since", earlier}, 412, ""},
		{"range", "GET", []string{"Range", "bytes=2-4"}, 206, "234"},
		{"range, last bytes", "GET", []string{"Range", "bytes=-3"}, 206, "hij"},
		{"range, to the end", "GET", []string{"Range", "bytes=18-"}, 206, "ij"},
		{"range, beyond the end", "GET", []string{"Range", "bytes=18-99"}, 206, "ij"},
		{"range, all", "GET", []string{"Range", "bytes=0-0"}, 206, "0"},
		{"range, none of it there", "GET", []string{"Range", "bytes=20-"}, 416, "invalid range: failed to overlap\n"},
		{"range, nonsense", "GET", []string{"Range", "bytes=b-a"}, 416, "invalid range\n"},
		{"range, head", "HEAD", []string{"Range", "bytes=2-4"}, 206, ""},
		{"ranges larger than the file", "GET", []string{"Range", "bytes=0-" + strings.Repeat(",0-", 50)}, 200, text},
		{"if-range, tag", "GET", []string{"Range", "bytes=2-4", "If-Range", tag}, 206, "234"},
		{"if-range, other tag", "GET", []string{"Range", "bytes=2-4", "If-Range", `"x"`}, 200, text},
		{"if-range, weak tag", "GET", []string{"Range", "bytes=2-4", "If-Range", "W/" + tag}, 200, text},
		{"if-range, date", "GET", []string{"Range", "bytes=2-4", "If-Range", date}, 206, "234"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := serve(t, s, c.method, "/a.txt", file, c.headers...)
			if b := body(t, got); got.StatusCode != c.status || b != c.body {
				t.Errorf("status %d, body %q; want %d, %q", got.StatusCode, b, c.status, c.body)
			}
			if got.StatusCode == http.StatusMethodNotAllowed && got.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow: %q", got.Header.Get("Allow"))
			}
			if got.StatusCode < 300 && got.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("clients may guess the type")
			}
		})
	}
}

func TestSeveralRanges(t *testing.T) {
	got := serve(t, files(""), "GET", "/a.txt", plant(t, "a.txt"), "Range", "bytes=0-1,4-5")
	b := body(t, got)
	if got.StatusCode != 206 || !strings.HasPrefix(got.Header.Get("Content-Type"), "multipart/byteranges") ||
		!strings.Contains(b, "Content-Range: bytes 0-1/20") || !strings.Contains(b, "\r\n45\r\n") {
		t.Errorf("%v\n%s", got.Header, b)
	}
}

func TestContentTypes(t *testing.T) {
	for name, want := range map[string]string{
		"a.html": "text/html; charset=utf-8", "a.HTM": "text/html; charset=utf-8", "a.css": "text/css; charset=utf-8",
		"a.mjs": "text/javascript; charset=utf-8", "a.json": "application/json", "a.svg": "image/svg+xml", "a.woff2": "font/woff2",
		"a.min.js": "text/javascript; charset=utf-8", "a": octets, "a.exe": octets, ".html5": octets, "a.tar.gz": "application/gzip", "a.php.jpg": "image/jpeg",
	} {
		got := serve(t, files(""), "GET", "/", plant(t, name))
		if ct := got.Header.Get("Content-Type"); ct != want {
			t.Errorf("%s: %s, want %s", name, ct, want)
		}
	}
	// A link's target without an extension takes the type of the name asked for.
	got := serve(t, files(""), "GET", "/logo.png", plant(t, "5f3a9c"))
	if ct := got.Header.Get("Content-Type"); ct != "image/png" {
		t.Errorf("by the URL: %s", ct)
	}
}

func TestCacheControl(t *testing.T) {
	file := plant(t, "a.txt")
	if got := serve(t, files("max-age=60"), "GET", "/", file).Header.Get("Cache-Control"); got != "max-age=60" {
		t.Errorf("Cache-Control: %q", got)
	}
	if _, ok := serve(t, files(""), "GET", "/", file).Header["Cache-Control"]; ok {
		t.Error("Cache-Control without the setting")
	}
}

func TestETagChangesWithTheFile(t *testing.T) {
	file := plant(t, "a.txt")
	first := serve(t, files(""), "GET", "/", file).Header.Get("ETag")
	copied := file + "2"
	if err := os.WriteFile(copied, []byte(strings.ToUpper(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serve(t, files(""), "GET", "/", copied).Header.Get("ETag"); !strings.HasPrefix(got, "W/") {
		t.Errorf("just written, yet strong: %s", got)
	}
	if err := os.Chtimes(copied, changed, changed); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied, file); err != nil {
		t.Fatal(err)
	}
	if second := serve(t, files(""), "GET", "/", file).Header.Get("ETag"); second == first {
		t.Errorf("another file of the same size and date has the same tag %s", first)
	}
}

func TestWhatIsNotServed(t *testing.T) {
	file := plant(t, "a.txt")
	dir := filepath.Dir(file)
	link, linked, fifo := filepath.Join(dir, "link.txt"), filepath.Join(dir, "linked"), filepath.Join(dir, "fifo")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, linked); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"missing": dir + "/missing", "folder": dir, "below a file": file + "/x", "swapped for a link": link,
		"folder swapped for a link": linked + "/a.txt", "fifo": fifo, "device": "/dev/null",
	} {
		if got := serve(t, files(""), "GET", "/", path); got.StatusCode != 404 {
			t.Errorf("%s: status %d", name, got.StatusCode)
		}
	}
}

// sink records what net/http would copy from: sendfile needs an *os.File.
type sink struct {
	http.ResponseWriter
	file bool
}

func (s *sink) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if ok {
		_, s.file = limited.R.(*os.File)
	}
	return io.Copy(s.ResponseWriter, r)
}

func TestSendfileCanBeUsed(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody)
	s := &sink{ResponseWriter: httptest.NewRecorder()}
	files("").ServeFile(s, r, plant(t, "a.txt"))
	if !s.file {
		t.Error("the response is not given the file itself")
	}
}

// A file that shrinks while it is sent must not pass for whole.
func TestTruncatedFileBreaksTheResponse(t *testing.T) {
	file := plant(t, "a.bin")
	if err := os.Truncate(file, 64<<20); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { files("").ServeFile(w, r, file) }))
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	got, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	if err := os.Truncate(file, 1000); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, got.Body); err == nil {
		t.Errorf("%d bytes, and no error", n)
	}
}
