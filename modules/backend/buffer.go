package backend

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// chunkSize is how much of a response is read from a worker at once; one
// FastCGI record of php-cgi carries at most this much of an echo.
const chunkSize = 32 << 10

// errGone says that nobody reads the buffer any more.
var errGone = errors.New("the client has gone")

// buffer is what a worker has answered and the client has not taken yet: up
// to memory bytes in chunks, then up to fileMost bytes in an unlinked
// temporary file (none when 0), then the writer waits. One goroutine fills, another takes.
type buffer struct {
	memory, fileMost int64
	folder           string

	mu       sync.Mutex
	change   sync.Cond
	chunks   [][]byte // older than the file's bytes
	inChunks int64
	file     *os.File
	from, to int64 // the file's bytes not taken yet
	err      error // why no more comes; io.EOF is the end
	gone     bool  // the reader left
	served   bool  // it left because it had all it wanted
	pool     *sync.Pool
}

func newBuffer(memory, fileMost int64, folder string, chunks *sync.Pool) *buffer {
	b := &buffer{memory: memory, fileMost: fileMost, folder: folder, pool: chunks}
	b.change.L = &b.mu
	return b
}

// fill reads from r until its end or until the reader leaves. It returns why
// it ended: nil at the end of r, errGone, r's error, or the disk's.
func (b *buffer) fill(r io.Reader) error {
	for {
		chunk := *b.pool.Get().(*[]byte)
		n, err := r.Read(chunk[:cap(chunk)])
		if n > 0 {
			if storeErr := b.store(chunk[:n]); storeErr != nil {
				b.end(storeErr)
				return storeErr
			}
		} else {
			b.recycle(chunk)
		}
		if err != nil {
			b.end(err)
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// store takes over chunk.
func (b *buffer) store(chunk []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.gone && b.full(len(chunk)) {
		b.change.Wait()
	}
	if b.gone {
		return errGone
	}
	last := len(b.chunks) - 1
	switch {
	case b.to > b.from || b.fileMost > 0 && b.inChunks+int64(len(chunk)) > b.memory:
		if err := b.storeInFile(chunk); err != nil {
			return fmt.Errorf("buffering a response the client is slow to take: %w", err)
		}
		b.recycle(chunk)
	case last >= 0 && len(chunk) <= cap(b.chunks[last])-len(b.chunks[last]):
		// A script that flushes every line must not hold a chunk for each.
		b.chunks[last] = append(b.chunks[last], chunk...)
		b.inChunks += int64(len(chunk))
		b.recycle(chunk)
	default:
		b.chunks = append(b.chunks, chunk)
		b.inChunks += int64(len(chunk))
	}
	b.change.Broadcast()
	return nil
}

// full says whether n more bytes have to wait. The file is used from its start
// again only when all of it was taken, so its size is bounded, not just what
// is in it. Callers hold mu.
func (b *buffer) full(n int) bool {
	if b.to > b.from {
		return b.to >= b.fileMost
	}
	return b.fileMost == 0 && b.inChunks > 0 && b.inChunks+int64(n) > b.memory
}

func (b *buffer) storeInFile(chunk []byte) error {
	if b.file == nil {
		f, err := tempFile(b.folder)
		if err != nil {
			return err
		}
		b.file = f
	}
	if b.from == b.to {
		b.from, b.to = 0, 0
	}
	n, err := b.file.WriteAt(chunk, b.to)
	b.to += int64(n)
	return err
}

func (b *buffer) end(err error) {
	b.mu.Lock()
	b.err = err
	b.change.Broadcast()
	b.mu.Unlock()
}

// next waits for the next piece; more says whether another is there already,
// so that a flush can be spared. The piece must be given back by recycle.
// After the last piece it returns io.EOF, or why the response broke off.
func (b *buffer) next() (piece []byte, more bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.chunks) == 0 && b.from == b.to && b.err == nil {
		b.change.Wait()
	}
	switch {
	case len(b.chunks) > 0:
		piece = b.chunks[0]
		b.chunks[0] = nil
		b.chunks = b.chunks[1:]
		b.inChunks -= int64(len(piece))
	case b.from < b.to:
		piece = *b.pool.Get().(*[]byte)
		piece = piece[:min(int64(cap(piece)), b.to-b.from)]
		n, err := b.file.ReadAt(piece, b.from)
		if n < len(piece) {
			return nil, false, fmt.Errorf("reading the buffered response: %w", err)
		}
		b.from += int64(n)
	default:
		return nil, false, b.err
	}
	b.change.Broadcast()
	return piece, len(b.chunks) > 0 || b.from < b.to, nil
}

func (b *buffer) recycle(piece []byte) {
	piece = piece[:0]
	b.pool.Put(&piece)
}

// leave says that nothing more is taken; a writer that waits stops. served
// says that the reader had all it wanted.
func (b *buffer) leave(served bool) {
	b.mu.Lock()
	b.gone, b.served = true, served
	b.chunks, b.inChunks, b.from, b.to = nil, 0, 0, 0
	if b.file != nil {
		_ = b.file.Close()
		b.file = nil
	}
	b.change.Broadcast()
	b.mu.Unlock()
}

func (b *buffer) wasServed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.served
}
