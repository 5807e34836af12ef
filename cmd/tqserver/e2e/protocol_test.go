package e2e

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

func TestFastCGIBodies(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{files: map[string]string{"workers/app/public/evil.php": "<?php touch(dirname(__DIR__) . '/data/evil'); echo 'EXE', 'CUTED';"}})
	t.Run("shaped like records stay bodies", func(t *testing.T) { // S16
		evil := request(1, true, nil, s.scriptParams("/evil.php")...)
		for _, size := range []int{65_527, 65_528, 65_535, 65_536, 65_540, 99_000, 131_070, 131_072, 196_608} {
			body := append(bytes.Repeat([]byte{0}, size-len(evil)), evil...)
			c := dial(t, "unix", s.unix)
			if _, err := c.Write(request(1, false, body, s.scriptParams("/echo.php", "REQUEST_METHOD", "POST", "CONTENT_TYPE", "application/octet-stream", "CONTENT_LENGTH", itoa(size))...)); err != nil {
				t.Fatal(err)
			}
			a, err := readAnswer(c)
			if err != nil || a.status() != 200 || decode[echoed](t, a.body()).SHA256 != sum(body) {
				t.Errorf("%d bytes: %v %.200q", size, err, a.stdout)
			}
		}
		if exists(s.data("evil")) {
			t.Error("the body's tail was run as a request")
		}
	})
	t.Run("longer than CONTENT_LENGTH are cut", func(t *testing.T) { // F34
		c := dial(t, "unix", s.unix)
		_, _ = c.Write(request(1, false, []byte("abcdefgh"), s.scriptParams("/echo.php", "REQUEST_METHOD", "POST", "CONTENT_TYPE", "text/plain", "CONTENT_LENGTH", "5")...))
		a, err := readAnswer(c)
		if err != nil {
			t.Fatal(err)
		}
		if a.status() == 200 {
			if got := decode[echoed](t, a.body()); got.SHA256 != sum([]byte("abcde")) {
				t.Errorf("%+v", got)
			}
		} else if a.status() != 400 {
			t.Errorf("status %d", a.status())
		}
	})
	t.Run("shorter than CONTENT_LENGTH never reach PHP", func(t *testing.T) { // P2
		for name, length := range map[string]string{"short": "50", "negative": "-2", "huge": "99999999999999999999", "signed": "+5", "list": "5, 5", "text": "five"} {
			c := dial(t, "unix", s.unix)
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = c.Write(request(1, false, []byte("abcde"), s.scriptParams("/echo.php", "REQUEST_METHOD", "POST", "CONTENT_TYPE", "text/plain", "CONTENT_LENGTH", length)...))
			a, err := readAnswer(c)
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				t.Errorf("%s: it hangs", name)
			case err == nil && a.status() != 400:
				t.Errorf("%s: status %d %.100q", name, a.status(), a.stdout)
			}
		}
		c := dial(t, "unix", s.unix) // the client goes in the middle of its body
		_, _ = c.Write(append(append(begin(1, false), stream(fcgiParams, 1, pairs(s.scriptParams("/echo.php", "REQUEST_METHOD", "POST", "CONTENT_LENGTH", "50")...))...), record(fcgiStdin, 1, []byte("abc"))...))
		_ = c.Close()
		client := newClient(t)
		for range 8 {
			must(t, client, 200, "GET", "http://"+s.http+"/answer.php", nil)
		}
	})
	t.Run("without CONTENT_LENGTH are seen whole", func(t *testing.T) { // P3
		c := dial(t, "unix", s.unix)
		_, _ = c.Write(request(1, false, []byte("abcde"), s.scriptParams("/echo.php", "REQUEST_METHOD", "POST", "CONTENT_TYPE", "text/plain")...))
		a, err := readAnswer(c)
		if err != nil || a.status() != 200 {
			t.Fatalf("%v %.100q", err, a.stdout)
		}
		if got := decode[echoed](t, a.body()); got.SHA256 != sum([]byte("abcde")) && got.Size != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestFastCGIKeepsTheConnectionWhenAsked(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	for name, at := range s.sockets() {
		c := dial(t, at.Network(), at.String())
		for i := range 50 {
			if _, err := c.Write(request(uint16(1+i%3), true, nil, s.scriptParams("/srv.php", "HTTP_X_N", itoa(i))...)); err != nil {
				t.Fatal(err)
			}
			a, err := readAnswer(c)
			if err != nil || a.status() != 200 || decode[seen](t, a.body()).server("HTTP_X_N") != itoa(i) {
				t.Fatalf("%s, request %d: %v %.100q", name, i, err, a.stdout)
			}
		}
		if _, err := c.Write(request(1, false, nil, s.scriptParams("/srv.php")...)); err != nil {
			t.Fatal(err)
		}
		if _, err := readAnswer(c); err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the connection stays open without FCGI_KEEP_CONN: %v", name, err)
		}
	}
}

// Nonsense on the socket ends that connection at most.
func TestFastCGISurvivesNonsense(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	before := peakMemory(t, s.pid)
	for name, bytes := range map[string][]byte{
		"HTTP":                 []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"zeros":                make([]byte, 4096),
		"noise":                noise(4096),
		"version 2":            {2, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0},
		"huge lengths (S17)":   slices.Concat(begin(1, false), record(fcgiParams, 1, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'a'}), record(fcgiParams, 1, nil), record(fcgiStdin, 1, nil)),
		"lengths without data": slices.Concat(begin(1, false), record(fcgiParams, 1, []byte{5, 5, 'a'}), record(fcgiParams, 1, nil), record(fcgiStdin, 1, nil)),
		"begin of 7 bytes":     record(fcgiBegin, 1, make([]byte, 7)),
		"begin with id 0":      record(fcgiBegin, 0, []byte{0, 1, 0, 0, 0, 0, 0, 0}),
		"stdin before begin":   record(fcgiStdin, 7, []byte("x")),
		"unknown role":         append(record(fcgiBegin, 1, []byte{0, 9, 0, 0, 0, 0, 0, 0}), stream(fcgiParams, 1, nil)...),
		"half a header":        {1, 1, 0},
		"no params":            request(1, false, nil),
	} {
		c := dial(t, "unix", s.unix)
		_ = c.SetDeadline(time.Now().Add(3 * time.Second))
		_, _ = c.Write(bytes)
		_ = c.(*net.UnixConn).CloseWrite()
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection hangs", name)
		}
		_ = c.Close()
		a, err := fcgi(t, "unix", s.unix, s.scriptParams("/answer.php", "QUERY_STRING", "body=still")...)
		if err != nil || a.body() != "still" {
			t.Errorf("after %s: %v %.100q", name, err, a.stdout)
		}
	}
	if grown := peakMemory(t, s.pid) - before; grown > 16<<20 && !raced() {
		t.Errorf("peak memory grew by %d KiB", grown>>10)
	}
}

func TestFastCGIByTCPIsForAllowedClientsOnly(t *testing.T) {
	t.Parallel()
	needPHP(t)
	s := start(t, options{})
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: 5 * time.Second}
	c, err := d.Dial("tcp", s.tcp)
	if err != nil {
		return // refused outright is as good
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = c.Write(request(1, false, nil, s.scriptParams("/srv.php")...))
	if a, err := readAnswer(c); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("127.0.0.2 is not allowed, but: %v %.100q", err, a.stdout)
	}
	s.log.wait(t, 2*time.Second, 0, "127.0.0.2")
}
