package fastcgi

import (
	"errors"
	"io"
	"testing"
	"time"
)

// asked reads a request of size bytes from p, then does what then does.
func asked(t *testing.T, p *peer, size int, then func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := io.ReadFull(p.nc, make([]byte, size)); err != nil {
			t.Errorf("the request did not come: %v", err)
		}
		then()
	}()
	t.Cleanup(func() { <-done })
}

// shortRequest is the size of a request with the pair A=b and no body.
const shortRequest = 16 + 16 + 8 + 8

// TestAskAgain: what Ask has read of an answer is there for Read, and the connection
// carries the next request.
func TestAskAgain(t *testing.T) {
	c, p := application(t, ConnOptions{})
	for _, body := range []string{"one", "two"} {
		asked(t, p, shortRequest, func() {
			_, _ = io.WriteString(p.nc, out(body)+out("")+end(0, RequestComplete))
		})
		if err := c.Ask(Responder, true, pairs("A", "b"), []byte{}); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); string(got) != body || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if !c.Reusable() {
			t.Error("not reusable")
		}
	}
}

// TestAskFails: nothing sent is Ask's own error; what comes later is Read's.
func TestAskFails(t *testing.T) {
	c, p := application(t, ConnOptions{})
	asked(t, p, shortRequest, func() { _ = p.nc.Close() })
	if err := c.Ask(Responder, true, pairs("A", "b"), []byte{}); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := c.Read(make([]byte, 10)); !errors.As(err, &e) || e.Stage != StageUnanswered || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the application ended: %v", err)
	}

	c, none := application(t, ConnOptions{})
	_ = none.nc.Close()
	if err := c.Ask(Responder, true, pairs("A", "b"), []byte{}); !errors.As(err, &e) || e.Stage != StageNotSent {
		t.Errorf("there was none: %v", err)
	}
}

// TestAskPastDeadline: a wait that a deadline ends may be repeated.
func TestAskPastDeadline(t *testing.T) {
	c, p := application(t, ConnOptions{})
	asked(t, p, shortRequest, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	if err := c.Ask(Responder, true, pairs("A", "b"), []byte{}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	var e *Error
	for { // where the socket is not asked directly the first Read meets the deadline
		n, err := c.Read(buf)
		if n > 0 || err == nil {
			t.Fatalf("%q, %v", buf[:n], err)
		}
		if errors.As(err, &e) && e.Stage == StageUnanswered {
			break
		}
	}
	_ = c.SetReadDeadline(time.Time{})
	_, _ = io.WriteString(p.nc, out("late")+end(0, RequestComplete))
	if got, err := io.ReadAll(c); string(got) != "late" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
