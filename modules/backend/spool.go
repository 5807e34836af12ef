package backend

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// errSpool says that a request body could not be kept (disk full); it is the
// server's fault, unlike an error of the client's connection.
var errSpool = errors.New("the request body cannot be stored")

// spooled is a whole request body: in memory, or in a temporary file that has
// no name any more.
type spooled struct {
	memory []byte
	file   *os.File
	size   int64
}

// spool reads body to its end, so that PHP is given a CONTENT_LENGTH that is
// true and never waits for a client. Up to inMemory bytes stay in memory, the
// rest goes to an unlinked file in folder. Memory grows with what has come,
// not with what was announced. The caller closes the result.
func spool(body io.Reader, length, inMemory int64, folder string) (*spooled, error) {
	s := &spooled{}
	first := min(inMemory, 4096)
	if length >= 0 && length < inMemory {
		first = min(length+1, 16<<10) // one more, to see the end without growing
	}
	s.memory = make([]byte, 0, first)
	for int64(len(s.memory)) < inMemory {
		if len(s.memory) == cap(s.memory) {
			s.memory = append(s.memory, 0)[:len(s.memory)]
		}
		n, err := body.Read(s.memory[len(s.memory):cap(s.memory)])
		s.memory = s.memory[:len(s.memory)+n]
		if errors.Is(err, io.EOF) {
			s.size = int64(len(s.memory))
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the request body: %w", err)
		}
	}
	return s.toFile(body, folder)
}

func (s *spooled) toFile(body io.Reader, folder string) (*spooled, error) {
	f, err := tempFile(folder)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSpool, err)
	}
	s.file = f
	w := &spoolWriter{w: f}
	if _, err = w.Write(s.memory); err == nil {
		_, err = io.CopyBuffer(w, onlyReader{body}, s.memory[:cap(s.memory)])
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	s.memory = nil
	if err != nil {
		s.close()
		if w.failed {
			return nil, fmt.Errorf("%w: %w", errSpool, err)
		}
		return nil, fmt.Errorf("reading the request body: %w", err)
	}
	s.size = w.n
	return s, nil
}

// reader reads the body from its start.
func (s *spooled) reader() io.Reader {
	if s.file != nil {
		return s.file
	}
	return bytes.NewReader(s.memory)
}

func (s *spooled) close() {
	if s != nil && s.file != nil {
		_ = s.file.Close()
	}
}

// spoolWriter counts, and knows a failed write from a failed read.
type spoolWriter struct {
	w      io.Writer
	n      int64
	failed bool
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.n += int64(n)
	w.failed = err != nil
	return n, err
}

// onlyReader hides WriterTo, so that CopyBuffer uses the buffer it is given.
type onlyReader struct{ io.Reader }

// tempFile makes a file in folder that has no name: nothing is left of it
// when the process dies.
func tempFile(folder string) (*os.File, error) {
	f, err := os.CreateTemp(folder, "spool-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
