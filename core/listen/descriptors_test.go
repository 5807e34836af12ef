package listen

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// Connections stop before the last descriptors, which requests need, but for a
// vital socket; they go on when some are free.
func TestLastDescriptorsAreKept(t *testing.T) {
	var log lockedBuffer
	s := NewSet(slog.New(slog.NewTextHandler(&log, nil)))
	s.descriptors = descriptors{limit: 1000, most: 1}
	plain, vital := mustListen(t, s, "127.0.0.1:0", Options{}), mustListen(t, s, "127.0.0.1:0", Options{Vital: true})
	dial(t, plain.Addr())
	if _, err := accept(t, plain); err != nil { // the one that shows it
		t.Fatal(err)
	}
	dial(t, plain.Addr())
	got := make(chan net.Conn, 1)
	go func() {
		c, _ := plain.Accept()
		got <- c
	}()
	select {
	case <-got:
		t.Error("accepted with the last descriptors")
	case <-time.After(100 * time.Millisecond):
	}
	for range 2 {
		dial(t, vital.Addr())
		if _, err := accept(t, vital); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(log.String(), "limit of 1000") {
		t.Errorf("log: %s", log.String())
	}
	if err := s.Close(); err != nil { // also while it waits
		t.Error(err)
	}
	if c := <-got; c != nil {
		c.Close()
	}
	if d := newDescriptors(); d.most >= d.limit || d.most < d.limit/2 || !d.free() {
		t.Errorf("%+v", d)
	}
}
