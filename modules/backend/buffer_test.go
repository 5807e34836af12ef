package backend

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// take reads the buffer to its end.
func take(t *testing.T, b *buffer) ([]byte, error) {
	t.Helper()
	var got []byte
	for {
		piece, _, err := b.next()
		if err != nil {
			return got, err
		}
		got = append(got, piece...)
		b.recycle(piece)
	}
}

func TestBufferGivesBackWhatWasFilled(t *testing.T) {
	random := make([]byte, 3<<20)
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(random)
	for _, c := range []struct {
		name             string
		memory, fileMost int64
		reader           func(io.Reader) io.Reader
	}{
		{"all in memory", 4 << 20, 0, func(r io.Reader) io.Reader { return r }},
		{"most in the file", 64 << 10, 8 << 20, func(r io.Reader) io.Reader { return r }},
		{"file as small as a chunk", 64 << 10, 32 << 10, func(r io.Reader) io.Reader { return r }},
		{"no file: the writer waits", 64 << 10, 0, func(r io.Reader) io.Reader { return r }},
		{"halves", 100 << 10, 300 << 10, iotest.HalfReader},
		{"memory smaller than a chunk", 1, 0, func(r io.Reader) io.Reader { return r }},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			b := newBuffer(c.memory, c.fileMost, folder, newChunks())
			filled := make(chan error, 1)
			go func() { filled <- b.fill(c.reader(bytes.NewReader(random))) }()
			got, err := take(t, b)
			if !errors.Is(err, io.EOF) {
				t.Errorf("ended with %v", err)
			}
			if err := <-filled; err != nil {
				t.Errorf("fill: %v", err)
			}
			if sha256.Sum256(got) != sha256.Sum256(random) {
				t.Errorf("got %d other bytes", len(got))
			}
			b.leave(true)
			if left, _ := os.ReadDir(folder); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func TestBufferIsBounded(t *testing.T) {
	b := newBuffer(64<<10, 128<<10, t.TempDir(), newChunks())
	endless := &counter{}
	done := make(chan error, 1)
	go func() { done <- b.fill(endless) }()
	// The writer stops by itself, at its bound, with nobody reading.
	b.mu.Lock()
	for b.to < b.fileMost {
		b.mu.Unlock()
		b.mu.Lock()
	}
	held := b.inChunks + b.to
	b.mu.Unlock()
	if most := int64(64<<10 + 128<<10 + 2*chunkSize); held > most {
		t.Errorf("holds %d bytes, bound %d", held, most)
	}
	b.leave(false)
	if err := <-done; !errors.Is(err, errGone) {
		t.Errorf("fill ended with %v", err)
	}
}

type counter struct{ n int64 }

func (c *counter) Read(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

func TestBufferPassesOnWhyTheSourceBroke(t *testing.T) {
	b := newBuffer(1<<20, 0, t.TempDir(), newChunks())
	broken := errors.New("connection reset")
	if err := b.fill(io.MultiReader(strings.NewReader("begun"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("fill: %v", err)
	}
	got, err := take(t, b)
	if string(got) != "begun" || !errors.Is(err, broken) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestBufferKeepsSmallPiecesTogether(t *testing.T) {
	b := newBuffer(1<<20, 0, t.TempDir(), newChunks())
	if err := b.fill(iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 1000)))); err != nil {
		t.Fatal(err)
	}
	if len(b.chunks) != 1 {
		t.Errorf("1000 flushed bytes hold %d chunks of %d bytes", len(b.chunks), chunkSize)
	}
}

func TestBufferKnowsTheLength(t *testing.T) {
	const size = lingerMost / 2
	for _, c := range []struct {
		name             string
		memory, fileMost int64
	}{{"in memory", 1 << 20, 0}, {"in the file", 1 << 10, 1 << 20}} {
		b := newBuffer(c.memory, c.fileMost, t.TempDir(), newChunks())
		if err := b.fill(strings.NewReader(strings.Repeat("x", size))); err != nil {
			t.Fatal(err)
		}
		if have, err := b.begin(); have != size || !errors.Is(err, io.EOF) {
			t.Errorf("%s: %d, %v", c.name, have, err)
		}
		if got, err := take(t, b); len(got) != size || !errors.Is(err, io.EOF) {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
		b.leave(true)
	}
}

// What is enough is sent on at once, and a writer that has to wait is not let wait.
func TestBufferWaitsForNoMore(t *testing.T) {
	b := newBuffer(1<<20, 0, t.TempDir(), newChunks())
	b.timer.Stop()
	filled := make(chan error, 1)
	go func() { filled <- b.fill(io.LimitReader(&counter{}, lingerMost)) }()
	if have, err := b.begin(); have < lingerMost || err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", have, err)
	}
	<-filled
	b = newBuffer(100, 0, t.TempDir(), newChunks())
	b.timer.Stop()
	go func() { filled <- b.fill(iotest.OneByteReader(io.LimitReader(&counter{}, 1000))) }()
	if got, err := take(t, b); len(got) != 1000 || !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", len(got), err)
	}
	<-filled
}

func TestSpoolKeepsTheWholeBody(t *testing.T) {
	for _, c := range []struct {
		name           string
		size           int
		length, memory int64
		file           bool
	}{
		{"empty", 0, 0, 64, false},
		{"small, length known", 10, 10, 64, false},
		{"small, chunked", 10, -1, 64, false},
		{"one below the bound", 63, 63, 64, false},
		{"at the bound", 64, 64, 64, true},
		{"above, chunked", 100_000, -1, 64, true},
		{"above, length known", 100_000, 100_000, 64, true},
		{"announced much, sent little", 5, 1 << 40, 64, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			want := bytes.Repeat([]byte("0123456789"), c.size/10+1)[:c.size]
			s, err := spool(iotest.HalfReader(bytes.NewReader(want)), c.length, c.memory, folder)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if (s.file != nil) != c.file || s.size != int64(c.size) {
				t.Errorf("file %v, size %d", s.file != nil, s.size)
			}
			got := s.memory
			if s.file != nil {
				if got, err = io.ReadAll(s.file); err != nil {
					t.Fatal(err)
				}
			} else if got == nil {
				t.Error("a body in memory must not be nil: that means a body still to come")
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got %d other bytes", len(got))
			}
			if left, _ := os.ReadDir(folder); len(left) > 0 {
				t.Errorf("the file has a name: %v", left)
			}
		})
	}
}

func TestSpoolTellsTheDiskFromTheClient(t *testing.T) {
	broken := errors.New("connection reset")
	if _, err := spool(iotest.ErrReader(broken), -1, 64, t.TempDir()); !errors.Is(err, broken) || errors.Is(err, errSpool) {
		t.Errorf("a client that breaks off: %v", err)
	}
	if _, err := spool(bytes.NewReader(make([]byte, 100)), 100, 64, "/nonexistent"); !errors.Is(err, errSpool) {
		t.Errorf("no folder: %v", err)
	}
}
