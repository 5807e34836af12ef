package backend

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/mevdschee/tqserver/sdk/cgi"
)

// errEnough ends the copying at the script's own Content-Length.
var errEnough = errors.New("the promised length has been sent")

// receive reads PHP's answer as fast as it comes and gives the child back as
// soon as it is done, however slow the client is. sender, if any, is still
// sending the body.
func (c *call) receive(sender *sync.WaitGroup) {
	chunk := *c.chunks.Get().(*[]byte)
	head, first, err := c.readHead(chunk[:0])
	if err != nil {
		c.leave(sender, err)
		c.fail(c.badAnswer(err))
		return
	}
	if c.conn.Ended() {
		// The usual case: the whole answer came in one piece.
		c.finish(sender)
		c.writeHead(head, int64(len(first)))
		var sent answered
		if err := c.write(head, &sent, first); err != nil && !errors.Is(err, errEnough) {
			c.outcome = outcomeAborted
			panic(http.ErrAbortHandler)
		}
		c.checkLength(head, sent)
		c.recycle(chunk)
		return
	}
	c.stream(sender, head, append(chunk[:0], first...))
}

func (c *call) recycle(chunk []byte) {
	chunk = chunk[:0]
	c.chunks.Put(&chunk)
}

// readHead reads into buf until the head is complete, and returns what came of
// the body with it.
func (c *call) readHead(buf []byte) (*cgi.Head, []byte, error) {
	var parser cgi.HeadParser
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := c.conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		head, length, parseErr := parser.Parse(buf)
		switch {
		case parseErr != nil:
			return nil, nil, parseErr
		case length > 0 && head.Status < http.StatusOK:
			return nil, nil, &cgi.HeadError{Line: 1, Problem: fmt.Sprintf("Status %d is not a final one", head.Status)}
		case length > 0:
			return head, buf[length:], nil
		case errors.Is(err, io.EOF):
			return nil, nil, errNoHead
		case err != nil:
			return nil, nil, err
		}
	}
}

var errNoHead = errors.New("the answer ended before its head was complete")

// finish gives back the connection of an answer that is complete.
func (c *call) finish(sender *sync.WaitGroup) {
	if sender != nil {
		sender.Wait()
	}
	c.pool.put(c.conn)
}

// leave gives up a connection whose answer is not complete.
func (c *call) leave(sender *sync.WaitGroup, why error) {
	if sender != nil {
		_ = c.conn.SetWriteDeadline(time.Now()) // nobody wants the rest of the body
		sender.Wait()
	}
	c.why = c.pool.fateOf(c.conn)
	switch {
	case c.conn.http != nil:
		_ = c.conn.Close() // by which its process learns it
		c.pool.put(c.conn)
	case c.conn.Ended():
		c.why = running
		c.pool.put(c.conn) // the answer was wrong, but it was whole
	case c.why == timedOut:
		c.process = c.pool.kill(c.conn)
	case processGone(why):
		c.why = running
		c.pool.crashed(c.conn)
	default:
		c.pool.abandon(c.conn, c.limits.AbortTimeout)
	}
}

// processGone says whether the other end has closed the connection.
func processGone(err error) bool {
	for _, gone := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// writeHead sends the head; length is that of the body where it is known, or -1.
func (c *call) writeHead(head *cgi.Head, length int64) {
	h := c.w.Header()
	head.CopyTo(h)
	if head.LocalRedirect != "" {
		// RFC 3875, section 6.2.2, has the server serve that path; telling the
		// client gives the same page, and its URL is right.
		h.Set("Location", head.LocalRedirect)
		head.Status = http.StatusFound
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // net/http must not guess from the content
	}
	if length >= 0 && head.ContentLength < 0 && !c.bodyless(head) {
		h.Set("Content-Length", strconv.FormatInt(length, 10)) // spares the client chunks
	}
	c.headSent = true
	c.w.WriteHeader(head.Status)
}

// answered counts the body bytes the client was given.
type answered struct{ n int64 }

// bodyless says whether the response has no body, whatever the script sent.
func (c *call) bodyless(head *cgi.Head) bool {
	return c.r.Method == http.MethodHead || head.Status == http.StatusNoContent || head.Status == http.StatusNotModified
}

// checkLength breaks off a response that is shorter than the script promised.
func (c *call) checkLength(head *cgi.Head, sent answered) {
	if head.ContentLength > sent.n && !c.bodyless(head) {
		c.fail(failure{
			http.StatusBadGateway, slog.LevelError, "the script sent less than its Content-Length", "",
			fmt.Errorf("promised %d bytes, sent %d", head.ContentLength, sent.n),
		})
	}
}

// write sends a piece of the body, no more than the script promised.
func (c *call) write(head *cgi.Head, a *answered, piece []byte) error {
	if c.bodyless(head) {
		return nil
	}
	enough := false
	if left := head.ContentLength - a.n; head.ContentLength >= 0 && int64(len(piece)) >= left {
		piece, enough = piece[:left], true
	}
	if len(piece) > 0 {
		n, err := c.w.Write(piece)
		a.n += int64(n)
		if err != nil {
			return err
		}
	}
	if enough {
		return errEnough
	}
	return nil
}

// stream sends on what has come while more comes. A goroutine reads PHP's
// answer into a buffer; it owns the connection, and gives it back when the
// script has ended, which may be after the client was served or has left.
func (c *call) stream(sender *sync.WaitGroup, head *cgi.Head, first []byte) {
	b := newBuffer(int64(c.config.ResponseMemory), int64(c.config.ResponseFile), c.spool, c.chunks)
	served := false
	defer func() { b.leave(served) }()
	if len(first) == 0 {
		b.recycle(first)
	} else if err := b.store(first); err != nil {
		b.end(err) // the disk's: memory is smaller than the first piece
	}
	go c.pump(b, sender)

	length, err := b.begin()
	switch {
	case errors.Is(err, io.EOF):
	case err != nil && (head.ContentLength < 0 || length < head.ContentLength):
		c.fail(c.brokenAnswer(err)) // better than a part of it
		return
	default:
		length = -1
	}
	c.writeHead(head, length)
	control := http.NewResponseController(c.w)
	var sent answered
	for {
		piece, more, err := b.next()
		switch {
		case errors.Is(err, io.EOF):
			c.checkLength(head, sent)
			return
		case err != nil:
			c.fail(c.brokenAnswer(err))
		}
		err = c.write(head, &sent, piece)
		b.recycle(piece)
		if err == nil && !more {
			err = control.Flush()
		}
		switch {
		case errors.Is(err, errEnough):
			served = true
			return
		case err != nil:
			c.fail(clientLeft("the client left before it had the whole response", err))
		}
	}
}

// pump fills the buffer from the connection, then gives the connection back.
// Its end is awaited by pool.stop, which waits for every connection.
func (c *call) pump(b *buffer, sender *sync.WaitGroup) {
	answer := &answerReader{call: c, sender: sender}
	err := b.fill(answer)
	if errors.Is(err, errGone) && b.wasServed() {
		// The client has all that was promised; the script may go on working.
		_, err = io.Copy(io.Discard, onlyReader{answer})
	}
	switch {
	case answer.left:
	case err != nil:
		c.leave(sender, err)
	default:
		c.finish(sender)
	}
}

// answerReader leaves the connection when the answer breaks off, before the
// buffer's reader is told: it wants to say what became of the process.
type answerReader struct {
	*call
	sender *sync.WaitGroup
	left   bool
}

// Read reads from the connection.
func (r *answerReader) Read(p []byte) (int, error) {
	n, err := r.conn.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.leave(r.sender, err)
		r.left = true
	}
	return n, err
}
