package fpmstatus

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/mevdschee/tqserver/core/api"
)

func page(t *testing.T, f Format) string {
	t.Helper()
	s, now := sample()
	var b bytes.Buffer
	if err := Write(&b, &s, f, true, now); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestWhatClientsSendStaysText reads the pages with the parser of each format.
func TestWhatClientsSendStaysText(t *testing.T) {
	var p fpmPage
	dec := json.NewDecoder(strings.NewReader(page(t, FormatJSON)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		t.Fatal(err)
	}
	if want := strings.ToValidUTF8(hostile, "\uFFFD"); p.Processes[0].RequestURI != want {
		t.Errorf("JSON: %q, want %q", p.Processes[0].RequestURI, want)
	}
	if p.ListenQueue != 2 || p.MaxListenQueue != 31 || p.ListenQueueLen != 256 || p.IdleProcesses+p.ActiveProcesses != p.TotalProcesses ||
		len(p.Processes) != int(p.TotalProcesses) || p.Processes[0].LastRequestMemory != 0 || p.Processes[1].LastRequestMemory != 2097152 {
		t.Errorf("JSON: %+v", p)
	}

	var x struct {
		Pool string   `xml:"pool"`
		URIs []string `xml:"processes>process>request-uri"`
		User string   `xml:"processes>process>user"`
	}
	if err := xml.Unmarshal([]byte(page(t, FormatXML)), &x); err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("\x00", "\uFFFD", "\x1b", "\uFFFD", "\xff", "\uFFFD").Replace(hostile)
	if x.Pool != "blog" || len(x.URIs) != 2 || x.URIs[0] != want {
		t.Errorf("XML: %+q, want %q", x, want)
	}

	h := page(t, FormatHTML)
	if strings.Contains(h, "<script") || strings.Contains(h, "<b>") || strings.Contains(h, `o'neill`) {
		t.Errorf("HTML: %s", h)
	}
	d := xml.NewDecoder(strings.NewReader(h)) // it is XHTML
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("HTML: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok && !strings.Contains(" html head title body table tr th td ", " "+e.Name.Local+" ") {
			t.Errorf("HTML has <%s>", e.Name.Local)
		}
	}

	text := page(t, FormatText)
	if lines := strings.Count(text, "\n"); lines != 15+2*15 {
		t.Errorf("text: %d lines\n%s", lines, text)
	}
	if i := strings.IndexFunc(strings.ReplaceAll(text, "\n", ""), unicode.IsControl); i >= 0 {
		t.Errorf("text: a control character\n%q", text)
	}

	s, now := sample()
	s.Worker = "a\nphpfpm_up 0\\"
	var b bytes.Buffer
	if err := Write(&b, &s, FormatOpenMetrics, true, now); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(b.String(), "\n"); lines != 13*3+1 || !strings.HasSuffix(b.String(), "# EOF\n") {
		t.Errorf("OpenMetrics: %d lines\n%s", lines, b.String())
	}
}

func TestServeAnswersHEADWithoutABody(t *testing.T) {
	s, _ := sample()
	for _, method := range []string{"GET", "HEAD", "POST"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, "/status?json&full", nil)
		Serve(w, r, s)
		if !Full(r) || w.Code != 200 || (w.Body.Len() == 0) != (method == "HEAD") || w.Header().Get("Content-Type") != "application/json" ||
			w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v %d bytes", method, w.Code, w.Header(), w.Body.Len())
		}
		w = httptest.NewRecorder()
		ServePing(w, r, "pong")
		if want := map[bool]string{true: "", false: "pong"}[method == "HEAD"]; w.Body.String() != want || w.Code != 200 {
			t.Errorf("ping %s: %d %q", method, w.Code, w.Body)
		}
	}
}

func TestAnEmptyStatusIsAPageToo(t *testing.T) {
	for _, f := range []Format{FormatText, FormatHTML, FormatXML, FormatJSON, FormatOpenMetrics} {
		var b bytes.Buffer
		if err := Write(&b, &api.WorkerStatus{Active: -1, Processes: []api.ProcessStatus{{Running: true}}}, f, true, time.Now()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ReplaceAll(b.String(), "-//W3C", ""), "-1") || f == FormatJSON && !json.Valid(b.Bytes()) {
			t.Errorf("%s", b.String())
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 42 * time.Second: "42s", 61 * time.Second: "1m01s",
		5*time.Hour + 12*time.Minute: "5h12m", 76 * time.Hour: "3d04h",
	} {
		if got := Age(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
