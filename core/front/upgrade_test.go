package front

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// An upgraded connection does not hold its generation; a request for one that
// was declined does, as any other.
func TestUpgradedConnectionsDoNotHoldTheirGeneration(t *testing.T) {
	h := newHouse(t)
	e := entry("127.0.0.1:0", "", "", 1)
	hold := make(chan struct{})
	e.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/declined" {
			w.WriteHeader(http.StatusForbidden)
			_ = http.NewResponseController(w).Flush()
			<-hold
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(c, c)
	})
	first := h.up(h.front(e))
	var taken net.Conn
	for path, status := range map[string]string{"/taken": "101", "/declined": "403"} {
		c, err := net.Dial("tcp", h.addr(0))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		answer := make([]byte, len("HTTP/1.1 101"))
		if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "HTTP/1.1 "+status {
			t.Fatalf("%s %q %v", path, answer, err)
		}
		if path == "/taken" {
			taken = c
		}
	}
	second := h.up(h.front(entry("127.0.0.1:0", "", "second", 1)))
	first.Requests.Close()
	if n := first.Requests.Running(); n != 1 {
		t.Errorf("%d requests run, want the declined one", n)
	}
	close(hold)
	<-first.Requests.Done()
	_, _ = io.WriteString(taken, "still there\n")
	for got := bufio.NewScanner(taken); ; {
		if !got.Scan() {
			t.Fatal("it ended", got.Err())
		}
		if got.Text() == "still there" {
			break
		}
	}
	_ = taken.Close()
	h.over(second)
}
