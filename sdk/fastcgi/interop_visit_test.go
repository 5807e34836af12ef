package fastcgi

import (
	"bufio"
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fullSite does what a site does and more.
type fullSite struct {
	*site
	goOn chan struct{}
}

func newFullSite() *fullSite { return &fullSite{newSite(), make(chan struct{}, 1)} }

func (s *fullSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch q.Get("do") {
	case "halves":
		fmt.Fprint(w, "first")
		w.(http.Flusher).Flush()
		select {
		case <-s.goOn:
			fmt.Fprint(w, "last")
		case <-time.After(patience):
		}
	case "endless":
		s.started <- "started"
		for end := time.Now().Add(patience); r.Context().Err() == nil && time.Now().Before(end); {
			_, _ = w.Write(make([]byte, 1000))
			w.(http.Flusher).Flush()
			<-time.After(time.Millisecond)
		}
		s.ended <- fmt.Sprint(r.Context().Err())
	case "cut":
		if n := q.Get("length"); n != "" {
			w.Header().Set("Content-Length", n)
		}
		_, _ = w.Write(make([]byte, 100_000))
		w.(http.Flusher).Flush()
		select {
		case <-s.goOn:
			panic(http.ErrAbortHandler)
		case <-time.After(patience):
		}
	case "stderr":
		fmt.Fprintln(FromContext(r.Context()).Stderr(), "for the log: "+q.Get("id"))
		fmt.Fprint(w, "ok")
	case "204":
		w.WriteHeader(204)
	case "304":
		w.Header().Set("ETag", `"a"`)
		w.WriteHeader(304)
	case "redirect":
		http.Redirect(w, r, q.Get("to"), http.StatusFound)
	case "cookies":
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2; Path=/", "a=3"}
	case "5 MiB":
		b := make([]byte, 5<<20)
		for i := range b {
			b[i] = byte(i ^ i>>8 ^ i>>16)
		}
		w.Header().Set("X-Sum", fmt.Sprintf("%x", md5.Sum(b)))
		_, _ = w.Write(b)
	default:
		s.site.ServeHTTP(w, r)
	}
}

// webServer is one that runs, and what it is known to do.
type webServer struct {
	base, log string
	chunked   []int // its statuses for a chunked upload
	streams   bool  // sends on what is flushed
	endsCut   bool  // ends a cut response in order, unless that has a Content-Length
}

// visitAll is all that is expected of a web server that speaks FastCGI.
func visitAll(t *testing.T, g *rig, s *fullSite, ws webServer) {
	t.Helper()
	c := &http.Client{
		Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer c.CloseIdleConnections()
	ask := func(method, query string, body io.Reader) (*http.Response, string, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, ws.base+"/x?"+query, body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			return &http.Response{}, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp, string(b), err
	}
	eventually(t, "the web server", func() bool { resp, _, err := ask("GET", "", nil); return err == nil && resp.StatusCode == 200 })

	for _, size := range []int{0, 1 << 10, 1 << 20, 5 << 20} {
		body := strings.Repeat("u", size)
		want := fmt.Sprintf("7 %x <nil>", md5.Sum([]byte(body)))
		if _, got, err := ask("POST", "do=echo&id=7", strings.NewReader(body)); got != want || err != nil {
			t.Errorf("upload of %d: %q, %v", size, got, err)
		}
		if resp, got, err := ask("POST", "do=echo&id=7", io.MultiReader(strings.NewReader(body))); size > 0 && !slices.Contains(ws.chunked, resp.StatusCode) || resp.StatusCode == 200 && got != want || err != nil {
			t.Errorf("chunked upload of %d: %d %q, %v", size, resp.StatusCode, got, err)
		}
	}
	if resp, got, err := ask("GET", "do=5+MiB", nil); len(got) != 5<<20 || fmt.Sprintf("%x", md5.Sum([]byte(got))) != resp.Header.Get("X-Sum") || err != nil {
		t.Errorf("download: %d bytes, %v", len(got), err)
	}
	if resp, got, err := ask("HEAD", "do=5+MiB", nil); resp.StatusCode != 200 || resp.Header.Get("X-Sum") == "" || got != "" || err != nil {
		t.Errorf("HEAD: %+v, %v", resp, err)
	}
	for _, status := range []string{"204", "304"} {
		if resp, got, err := ask("GET", "do="+status, nil); strconv.Itoa(resp.StatusCode) != status || got != "" || err != nil {
			t.Errorf("%s: %d %q, %v", status, resp.StatusCode, got, err)
		}
	}
	for _, to := range []string{"/y?a=b", "http://other.example/"} {
		if resp, _, err := ask("GET", "do=redirect&to="+to, nil); resp.StatusCode != 302 || strings.TrimPrefix(resp.Header.Get("Location"), ws.base) != to || err != nil {
			t.Errorf("redirect: %d %q, %v", resp.StatusCode, resp.Header.Get("Location"), err)
		}
	}
	if resp, _, err := ask("GET", "do=cookies", nil); fmt.Sprintf("%q", resp.Header["Set-Cookie"]) != `["a=1" "b=2; Path=/" "a=3"]` || err != nil {
		t.Errorf("cookies: %q, %v", resp.Header["Set-Cookie"], err)
	}
	if _, got, err := ask("GET", "do=stderr&id=4711", nil); got != "ok" || err != nil {
		t.Errorf("with STDERR: %q, %v", got, err)
	}
	if ws.log != "" {
		eventually(t, "STDERR in the log", func() bool { b, _ := os.ReadFile(ws.log); return strings.Contains(string(b), "for the log: 4711") })
	}
	visitEarly(t, ws)
	visitHalves(t, c, s, ws)
	visitCut(t, c, s, ws)
	if ws.streams {
		visitAndLeave(t, c, s, ws)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			body := fmt.Sprint("body of ", i)
			if _, got, err := ask("POST", fmt.Sprint("do=echo&id=", i), strings.NewReader(body)); got != fmt.Sprintf("%d %x <nil>", i, md5.Sum([]byte(body))) || err != nil {
				t.Errorf("number %d: %q, %v", i, got, err)
			}
		})
	}
	wg.Wait()
	eventually(t, "nothing running", func() bool { return g.Stats().Active == 0 })
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.errors {
		// What aborted clients leave is no protocol error.
		if e.Kind == KindProtocol || e.Kind == KindTimeout || e.Kind == KindPanic {
			t.Error(e)
		}
	}
}

// visitEarly sends a body to a handler that does not want it.
func visitEarly(t *testing.T, ws webServer) {
	t.Helper()
	const size = 3 << 20
	nc := dialUntil(t, "tcp", strings.TrimPrefix(ws.base, "http://"))
	defer nc.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		// The web server may stop reading.
		_, _ = fmt.Fprintf(nc, "POST /x?do=early HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", size, strings.Repeat("u", size))
	})
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Errorf("early answer: %v", err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("early answer: %d", resp.StatusCode)
	}
}

// visitHalves demands that what is flushed arrives before the end.
func visitHalves(t *testing.T, c *http.Client, s *fullSite, ws webServer) {
	t.Helper()
	if !ws.streams {
		s.goOn <- struct{}{}
	}
	resp, err := c.Get(ws.base + "/x?do=halves")
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); string(first) != "first" {
		t.Errorf("first half: %q, %v", first, err)
	}
	if ws.streams {
		s.goOn <- struct{}{}
	}
	if last, err := io.ReadAll(resp.Body); string(last) != "last" || err != nil {
		t.Errorf("last half: %q, %v", last, err)
	}
}

// visitCut demands that a response which broke off does not look whole.
func visitCut(t *testing.T, c *http.Client, s *fullSite, ws webServer) {
	t.Helper()
	for _, query := range []string{"length=200000", "length=200000&close=1", "length=&close=1"} {
		if strings.HasPrefix(query, "length=&") && ws.endsCut {
			continue
		}
		if !ws.streams {
			s.goOn <- struct{}{}
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ws.base+"/x?do=cut&"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = strings.HasSuffix(query, "close=1")
		resp, err := c.Do(req)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		n, _ := resp.Body.Read(make([]byte, 1))
		if ws.streams {
			s.goOn <- struct{}{}
		}
		rest, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode == 200 {
			t.Errorf("a cut response looks whole: %d bytes, %q", n+len(rest), query)
		}
	}
}

// visitAndLeave demands that a request ends when its client has left. These
// web servers see that when they write to it.
func visitAndLeave(t *testing.T, c *http.Client, s *fullSite, ws webServer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ws.base+"/x?do=endless", nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if resp, err := c.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
	within(t, "start", s.started)
	cancel()
	if got := within(t, "the end", s.ended); got != context.Canceled.Error() {
		t.Errorf("the context has ended: %s", got)
	}
}
