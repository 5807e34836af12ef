package sockio

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// answered reads the request from far, then does what then does.
func answered(t *testing.T, far net.Conn, request string, then func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		got := make([]byte, len(request))
		if _, err := io.ReadFull(far, got); err != nil || string(got) != request {
			t.Errorf("asked %q, %v", got, err)
		}
		then()
	}()
	t.Cleanup(func() { <-done })
}

func TestAskWritesThenReads(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "pipe"} {
		t.Run(network, func(t *testing.T) {
			near, far := pair(t, network)
			c := New(near)
			for _, request := range []string{"first", "second"} {
				answered(t, far, request, func() { _, _ = far.Write([]byte("to " + request)) })
				buf := make([]byte, 64)
				sent, n, err := c.Ask([]byte(request), buf)
				if sent != len(request) || err != nil {
					t.Fatalf("sent %d, %v", sent, err)
				}
				if n == 0 { // a socket that is not asked directly
					n, err = c.Read(buf)
				}
				if got := string(buf[:n]); got != "to "+request || err != nil {
					t.Errorf("answered %q, %v", got, err)
				}
			}
		})
	}
}

// What goes wrong after the request was written is about the answer.
func TestAskTellsWhatItSent(t *testing.T) {
	for name, end := range map[string]struct {
		then func(near, far net.Conn)
		want error
	}{
		"closed by the other end": {func(_, far net.Conn) { _ = far.Close() }, io.EOF},
		"deadline":                {func(near, _ net.Conn) { _ = near.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"closed":                  {func(near, _ net.Conn) { _ = near.Close() }, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := pair(t, "unix")
			answered(t, far, "ask", func() { end.then(near, far) })
			buf := make([]byte, 64)
			c := New(near)
			sent, n, err := c.Ask([]byte("ask"), buf)
			if sent != 3 || n != 0 {
				t.Fatalf("sent %d, read %d", sent, n)
			}
			if err == nil {
				_, err = c.Read(buf)
			}
			if !errors.Is(err, end.want) {
				t.Error(err)
			}
		})
	}
}

func TestAskOfNobodySendsNothing(t *testing.T) {
	near, far := pair(t, "unix")
	_ = far.Close()
	c := New(near)
	if sent, _, err := c.Ask([]byte("ask"), make([]byte, 64)); sent != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("closed by the other end: sent %d, %v", sent, err)
	}
	_ = near.SetDeadline(time.Unix(1, 0))
	if sent, _, err := c.Ask([]byte("ask"), make([]byte, 64)); sent != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: sent %d, %v", sent, err)
	}
	_ = near.Close()
	if sent, _, err := c.Ask([]byte("ask"), make([]byte, 64)); sent != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: sent %d, %v", sent, err)
	}
}

// A full socket does not take the request at once: Ask waits until it does.
func TestAskWaitsForRoom(t *testing.T) {
	near, far := pair(t, "unix")
	c := New(near)
	_ = near.SetWriteDeadline(time.Now().Add(time.Millisecond))
	full, err := c.Write(make([]byte, 16<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	_ = near.SetWriteDeadline(time.Time{})
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		sent, n, err := c.Ask([]byte("ask"), make([]byte, 64))
		if sent != 3 || n != 0 || err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("sent %d, read %d, %v", sent, n, err)
		}
	}()
	if _, err := io.CopyN(io.Discard, far, int64(full)); err != nil {
		t.Fatal(err)
	}
	answered(t, far, "ask", func() { _ = far.Close() }) // if there was room by then, it waits for more
	<-asked
}

// Who waits for an answer is in nobody's way who writes.
func TestOthersWriteWhileAskWaits(t *testing.T) {
	near, far := pair(t, "unix")
	c := New(near)
	answered(t, far, "ask", func() {
		if _, err := c.Write([]byte("stop")); err != nil {
			t.Error(err)
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(far, got); err != nil || string(got) != "stop" {
			t.Errorf("%q, %v", got, err)
		}
		_ = far.Close()
	})
	if sent, _, err := c.Ask([]byte("ask"), make([]byte, 64)); sent != 3 || err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("sent %d, %v", sent, err)
	}
}
