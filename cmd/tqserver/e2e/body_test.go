package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func itoa(n int) string { return strconv.Itoa(n) }

// noise is n bytes that compress badly and repeat with the seed.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// echoed is what echo.php says it read.
type echoed struct {
	Method, Type, Length, SHA256 string
	Size, PID                    int
}

func TestBodiesReachPHPWhole(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			for name, test := range map[string]struct {
				method, contentType string
				body                []byte
				chunked             bool
			}{
				"JSON":                 {"POST", "application/json", []byte(`{"a":[1,2,{"b":"é"}]}`), false},
				"PUT":                  {"PUT", "text/plain", []byte("put"), false},
				"PATCH":                {"PATCH", "application/json", []byte("[]"), false},
				"DELETE":               {"DELETE", "text/plain", []byte("why"), false},
				"empty":                {"POST", "text/plain", nil, false},
				"binary":               {"POST", "application/octet-stream", noise(70_000), false},
				"as large as a record": {"POST", "application/octet-stream", noise(65_535), false},
				"one more":             {"POST", "application/octet-stream", noise(65_536), false},
				"8 MiB":                {"POST", "application/octet-stream", noise(8 << 20), false},
				"chunked":              {"POST", "application/octet-stream", noise(300_000), true},
				"chunked and small":    {"POST", "application/octet-stream", noise(10), true},
				"chunked form":         {"PUT", "application/json", []byte(`{"chunked":true}`), true},
			} {
				var body io.Reader = bytes.NewReader(test.body)
				if test.chunked {
					body = io.MultiReader(body) // hides the length
				}
				got := decode[echoed](t, must(t, c, 200, test.method, f.url("/echo.php"), body, "Content-Type", test.contentType).body)
				want := echoed{Method: test.method, Type: test.contentType, Length: itoa(len(test.body)), Size: len(test.body), SHA256: sum(test.body)}
				got.PID = 0
				if len(test.body) == 0 && got.Length == "" {
					want.Length = "" // RFC 3875, 4.1.2: absent without a body
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: %s", name, d)
				}
			}
		})
	}
}

func TestMultipartUploadOf20MiB(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	content := noise(20 << 20)
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			var body bytes.Buffer
			form := multipart.NewWriter(&body)
			_ = form.WriteField("title", "a file")
			part, _ := form.CreateFormFile("file", "näme.bin")
			_, _ = part.Write(content)
			_ = form.Close()
			type file struct {
				Name, SHA256 string
				Error, Size  int
			}
			got := decode[struct {
				Files map[string]file
				Post  map[string]string
			}](t, must(t, newClient(t), 200, "POST", f.url("/upload.php"), &body, "Content-Type", form.FormDataContentType()).body)
			if d := cmp.Diff(map[string]file{"file": {"näme.bin", sum(content), 0, len(content)}}, got.Files); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(map[string]string{"title": "a file"}, got.Post); d != "" {
				t.Error(d)
			}
		})
	}
}

// bigSum is the checksum of big.php's blocks.
func bigSum(blocks int) string {
	h := sha256.New()
	for i := range blocks {
		_, _ = io.WriteString(h, strings.Repeat(sum([]byte(itoa(i))), 1024))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// download reads a body of any size in constant memory.
func download(c *http.Client, url string) (int64, string, error) {
	res, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	h := sha256.New()
	n, err := io.Copy(h, res.Body)
	return n, hex.EncodeToString(h.Sum(nil)), err
}

// Not parallel: it measures memory.
func TestResponseOf50MiBStreamsInConstantMemory(t *testing.T) {
	needPHP(t)
	s := start(t, options{})
	const blocks = 50 << 20 >> 16
	want := bigSum(blocks)
	for _, f := range s.fronts(t) {
		for _, query := range []string{"?blocks=" + itoa(blocks), "?length&blocks=" + itoa(blocks)} {
			t.Run(f.name+query, func(t *testing.T) {
				c := newClient(t)
				must(t, c, 200, "GET", f.url("/answer.php"), nil)
				resetPeakMemory(s.pid)
				before := peakMemory(t, s.pid)
				n, got, err := download(c, f.url("/big.php"+query))
				if err != nil || n != blocks<<16 || got != want {
					t.Fatalf("%d bytes, right: %t, %v", n, got == want, err)
				}
				grown := peakMemory(t, s.pid) - before
				t.Logf("peak memory of the core: %d KiB, grown by %d KiB", before>>10, grown>>10)
				if grown > 24<<20 && !raced() {
					t.Errorf("the core's peak memory grew by %d KiB for one response", grown>>10)
				}
			})
		}
	}
}

func TestFlushArrivesBeforeTheScriptEnds(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	for _, f := range s.fronts(t) {
		for _, query := range []string{"", "&unbuffered"} {
			if f.nginx != nil && query == "" {
				continue // nginx itself buffers then
			}
			t.Run(f.name+query, func(t *testing.T) {
				gate := unique(t)
				res, err := newClient(t).Get(f.url("/gate.php?before=6&name=" + gate + query))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				part := make([]byte, 6)
				if _, err := io.ReadFull(res.Body, part); err != nil || string(part) != "bbbbbb" {
					t.Fatalf("%q, %v", part, err)
				}
				if exists(s.data(gate + ".done")) {
					t.Fatal("the script had ended before its first output came")
				}
				s.open(t, gate)
				if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != "after" {
					t.Fatalf("%q, %v", rest, err)
				}
			})
		}
	}
}

func TestResponseEndsWithItsContentLengthThoughTheScriptGoesOn(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			gate := unique(t)
			a := must(t, c, 200, "GET", f.url("/gate.php?before=1000&length=1000&name="+gate), nil)
			if len(a.body) != 1000 {
				t.Errorf("%d bytes", len(a.body))
			}
			if exists(s.data(gate + ".done")) {
				t.Fatal("the script had ended before its answer came")
			}
			for range 8 { // its process is busy, the other three serve
				must(t, c, 200, "GET", f.url("/answer.php"), nil)
			}
			s.open(t, gate)
			poll(t, 5*time.Second, "the script ended by itself", func() bool { return exists(s.data(gate + ".done")) })
			for range 8 {
				must(t, c, 200, "GET", f.url("/answer.php"), nil)
			}
		})
	}
}

func TestScriptThatReadsNoBodyStillAnswers(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	body := noise(50 << 20)
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			a := must(t, c, 200, "POST", f.url("/answer.php?body=early"), bytes.NewReader(body), "Content-Type", "application/octet-stream")
			if a.body != "early" {
				t.Errorf("%q", a.body)
			}
			for range 8 {
				must(t, c, 200, "GET", f.url("/answer.php"), nil)
			}
		})
	}
}

func Test200ClientsOn4Children(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	for _, f := range s.fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			c := newClient(t)
			var clients sync.WaitGroup
			var failed atomic.Int64
			fail := func(id string, a answer, err error) {
				if failed.Add(1) <= 5 { // the others say the same
					t.Errorf("client %s: %v, %v, %.100q", id, err, a.Response, a.body)
				}
			}
			for i := range 200 {
				clients.Go(func() {
					for j := range 4 {
						id := fmt.Sprintf("%d-%d", i, j)
						a, err := do(c, "GET", f.url("/sleep.php?ms=2&id="+id), nil)
						if err != nil || a.StatusCode != 200 || a.body != "slept "+id {
							fail(id, a, err)
							return
						}
						body := noise(1000 + i)
						a, err = do(c, "POST", f.url("/echo.php"), bytes.NewReader(body), "Content-Type", "text/plain")
						if err != nil || a.StatusCode != 200 || !strings.Contains(a.body, sum(body)) {
							fail(id, a, err)
							return
						}
					}
				})
			}
			clients.Wait()
		})
	}
}
