package http

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// timedBody gives every read of a request body a deadline of its own.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	wait    time.Duration
	ended   bool
}

func (b *timedBody) Read(p []byte) (int, error) {
	b.extend()
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		// From here net/http only watches whether the client leaves.
		b.ended = true
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// extend is called once more when the handler has returned: net/http then
// reads some of what the handler left, to keep the connection.
func (b *timedBody) extend() {
	if !b.ended {
		_ = b.control.SetReadDeadline(time.Now().Add(b.wait))
	}
}
