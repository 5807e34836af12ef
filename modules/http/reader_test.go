package http

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// spy counts what a connection is told.
type spy struct {
	net.Conn
	begun chan struct{} // closed when the first read begins
	reads atomic.Int32
	told  atomic.Int32
}

func (s *spy) Read(p []byte) (int, error) {
	if s.reads.Add(1) == 1 {
		close(s.begun)
	}
	return s.Conn.Read(p)
}

func (s *spy) SetReadDeadline(t time.Time) error {
	s.told.Add(1)
	return s.Conn.SetReadDeadline(t)
}

func spied(t *testing.T) (r *reader, s *spy, client net.Conn) {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	s = &spy{Conn: server, begun: make(chan struct{})}
	return newReader(s), s, client
}

// What net/http does around a request that is answered at once costs the kernel
// nothing.
func TestReaderSparesTheKernel(t *testing.T) {
	r, s, client := spied(t)
	far := time.Now().Add(time.Hour)
	for i := range 3 {
		_ = r.SetReadDeadline(far.Add(time.Duration(i) * time.Minute)) // until the next request
		sent := make(chan error, 1)
		go func() { _, err := client.Write([]byte("GET")); sent <- err }()
		var b [16]byte
		if n, err := r.Read(b[:]); n != 3 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		_ = r.SetReadDeadline(time.Time{})
		watched := make(chan error, 1)
		go func() { _, err := r.Read(b[:1]); watched <- err }()
		_ = r.SetReadDeadline(time.Unix(1, 0)) // the answer is written
		if err := <-watched; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		_ = r.SetReadDeadline(time.Time{})
	}
	if reads, told := s.reads.Load(), s.told.Load(); reads > 4 || told > 2 { // one that watched for longer than watchAfter, at most
		t.Errorf("%d reads, told %d deadlines", reads, told)
	}
}

func TestReaderWatches(t *testing.T) {
	r, _, client := spied(t)
	var b [1]byte
	watched := make(chan error, 1)
	go func() { _, err := r.Read(b[:]); watched <- err }()
	_ = client.Close()
	if err := <-watched; !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// A watch that reads already is broken off, and the connection is read again.
func TestReaderBreaksOff(t *testing.T) {
	r, s, client := spied(t)
	var b [1]byte
	watched := make(chan error, 1)
	go func() { _, err := r.Read(b[:]); watched <- err }()
	<-s.begun
	_ = r.SetReadDeadline(time.Unix(1, 0))
	if err := <-watched; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	_ = r.SetReadDeadline(time.Time{})
	go func() { _, _ = client.Write([]byte("x")) }()
	if n, err := r.Read(b[:]); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// The deadline that holds is the one that ends a read, whatever the connection had.
func TestReaderDeadlines(t *testing.T) {
	r, _, client := spied(t)
	var b [8]byte
	early := time.Now().Add(20 * time.Millisecond)
	_ = r.SetReadDeadline(early)
	if _, err := r.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(early) {
		t.Errorf("%v", err)
	}
	_ = r.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	ended := make(chan error, 1)
	go func() { _, err := r.Read(b[:]); ended <- err }()
	_ = r.SetReadDeadline(time.Time{}) // it goes on
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	go func() { _, err := r.Read(b[:]); ended <- err }()
	_ = r.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) // an earlier one, while it is read
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// Who has taken the connection over may read byte by byte.
func TestReaderTaken(t *testing.T) {
	r, _, client := spied(t)
	r.take()
	go func() { _, _ = client.Write([]byte("xyz")) }()
	var b [1]byte
	for range 3 {
		if n, err := r.Read(b[:]); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if r.timer != nil {
		t.Error("it waited")
	}
}

// What came before its deadline was seen to have passed is read; what is broken off
// is not.
func TestReaderIsLate(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	r := newReader(server)
	var b [8]byte
	read := func(want string, wantErr error) {
		t.Helper()
		if n, err := r.Read(b[:]); string(b[:n]) != want || !errors.Is(err, wantErr) {
			t.Errorf("%q, %v", b[:n], err)
		}
	}
	write := func(text string) {
		t.Helper()
		if _, err := io.WriteString(client, text); err != nil {
			t.Fatal(err)
		}
	}
	_ = r.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	read("", os.ErrDeadlineExceeded)
	write("a request")
	read("a reques", nil)
	read("t", nil)
	read("", os.ErrDeadlineExceeded) // the deadline has not changed
	write("x")
	_ = r.SetReadDeadline(time.Unix(1, 0))
	read("", os.ErrDeadlineExceeded)
	_ = r.SetReadDeadline(time.Now().Add(time.Hour))
	read("x", nil)
}
