package sdktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// stopsBusy: a request that runs when Stop comes is finished.
func (s *suite) stopsBusy(ctx context.Context) error {
	if s.Buffers {
		return s.stopsUnread(ctx)
	}
	r, p, err := s.startAndDial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	body, send := io.Pipe()
	const half = "half of the body "
	type outcome struct {
		status int
		body   []byte
		err    error
	}
	answered := make(chan outcome, 1)
	go func() {
		status, body, _, err := whole(p, s.echo(body, 2*int64(len(half))))
		answered <- outcome{status, body, err}
	}()
	_, err = io.WriteString(send, half)
	stopping, cancel := quickly(ctx, s.patience(10*time.Second))
	defer cancel()
	// Stop is on its way; the rest of the request comes later.
	ended, early := r.beginEnd(stopping, 200*time.Millisecond)
	if early != nil {
		_ = send.CloseWithError(io.ErrUnexpectedEOF)
		return errors.Join(err, early)
	}
	began := time.Now()
	_, sendErr := io.WriteString(send, half)
	_ = send.Close()
	got := <-answered
	_ = p.Close() // as the pool of a worker that stops does
	if got.err != nil || string(got.body) != half+half {
		err = errors.Join(err, sendErr, fmt.Errorf("the request that was running ended with status %d and %q: %w", got.status, got.body, got.err))
	}
	err = errors.Join(err, <-ended)
	if took := time.Since(began); took > s.patience(5*time.Second) {
		err = errors.Join(err, fmt.Errorf("after its last request it took %v to end", took.Round(time.Millisecond)))
	}
	return err
}

// unreadBody is more than the buffers between two processes hold.
const unreadBody = 4 << 20

// stopsUnread is stopsBusy for an application that is sent whole requests: it runs
// because its answer has not been taken yet.
func (s *suite) stopsUnread(ctx context.Context) error {
	r, p, err := s.startAndDial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	a, err := p.ask(s.echo(noise(unreadBody), unreadBody))
	if err != nil {
		return errors.Join(err, r.end(ctx))
	}
	stopping, cancel := quickly(ctx, s.patience(10*time.Second))
	defer cancel()
	ended, early := r.beginEnd(stopping, 700*time.Millisecond)
	if early != nil {
		return early
	}
	if n, readErr := io.Copy(io.Discard, a); readErr != nil || n != unreadBody {
		err = fmt.Errorf("of the answer that was running %d of %d bytes came: %w", n, unreadBody, readErr)
	}
	_, endErr := a.end()
	_ = p.Close() // as the pool of a worker that stops does
	return errors.Join(err, endErr, <-ended)
}

// startAndDial starts the plugin and connects to it. The caller ends both, unless
// there is an error.
func (s *suite) startAndDial(ctx context.Context) (*running, peer, error) {
	r, err := s.start(ctx)
	if err != nil {
		return nil, nil, err
	}
	p, err := dial(ctx, r.endpoint())
	if err != nil {
		return nil, nil, errors.Join(err, r.end(ctx))
	}
	return r, p, nil
}

// beginEnd begins to end the plugin under a request that runs, and gives that a head
// start in which it must not end. ended gets what end returns.
func (r *running) beginEnd(ctx context.Context, head time.Duration) (ended <-chan error, early error) {
	over := make(chan error, 1)
	go func() { over <- r.end(ctx) }()
	timer := time.NewTimer(head)
	defer timer.Stop()
	select {
	case err := <-over:
		return nil, errors.Join(err, errors.New("it ended before the request that was running did"))
	case <-timer.C:
		return over, nil
	}
}
