package backend

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// chunkSize is how much of a response is read from a worker at once; one
// FastCGI record of php-cgi carries at most this much of an echo.
const chunkSize = 32 << 10

// The beginning of a piece waits for linger, or until there is lingerMost of it: a
// page that a script flushes in parts goes out at once, with its length, and costs
// the client and the network one piece instead of many.
const (
	linger     = 5 * time.Millisecond
	lingerMost = 64 << 10
)

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

	head    bool        // the response's head has not been taken, either
	blocked bool        // the writer waits
	late    bool        // what is there has waited for linger
	timer   *time.Timer // of that wait
}

func newBuffer(memory, fileMost int64, folder string, chunks *sync.Pool) *buffer {
	b := &buffer{memory: memory, fileMost: fileMost, folder: folder, pool: chunks}
	b.change.L = &b.mu
	b.timer = time.AfterFunc(linger, func() {
		b.mu.Lock()
		b.late = true
		b.change.Broadcast()
		b.mu.Unlock()
	})
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
		b.blocked = true
		b.change.Broadcast()
		b.change.Wait()
	}
	b.blocked = false
	if b.gone {
		return errGone
	}
	if b.inChunks == 0 && b.from == b.to {
		b.late = false
		b.timer.Reset(linger)
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

// await returns when there is something to send, or nothing more comes. Callers
// hold mu.
func (b *buffer) await() {
	for b.err == nil && b.from == b.to && b.inChunks < lingerMost && ((b.inChunks == 0 && !b.head) || (!b.late && !b.blocked)) {
		b.change.Wait()
	}
}

// begin waits until the head is to be sent: with the first piece, or linger after it
// came. It returns how much of the body has come; err is io.EOF when that is all of
// it, or why it broke off before anything was to be sent.
func (b *buffer) begin() (have int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.head = true
	b.await()
	return b.inChunks + b.to - b.from, b.err
}

// next waits for the next piece; more says whether another, or the end, is there
// already, so that a flush can be spared. After begin the first may be empty, when
// the head goes alone. The piece must be given back by recycle. After the last piece
// it returns io.EOF, or why the response broke off.
func (b *buffer) next() (piece []byte, more bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.await()
	defer func() { b.head = false }()
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
		return nil, false, b.err // nil for the head alone
	}
	b.change.Broadcast()
	return piece, len(b.chunks) > 0 || b.from < b.to || errors.Is(b.err, io.EOF), nil
}

func (b *buffer) recycle(piece []byte) {
	if cap(piece) == 0 {
		return
	}
	piece = piece[:0]
	b.pool.Put(&piece)
}

// leave says that nothing more is taken; a writer that waits stops. served
// says that the reader had all it wanted.
func (b *buffer) leave(served bool) {
	b.mu.Lock()
	b.gone, b.served = true, served
	b.timer.Stop()
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
