// Package load sends requests to a server and measures how they are answered:
// by wrk, by clients of its own where wrk would not tell the whole truth, and
// by one visitor beside the load. Every load has a bound in time.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Request is what a load sends, and what must come back.
type Request struct {
	Path  string                  // with the slash
	Body  string                  // posted, when there is any
	Check func(body string) error // says what is wrong with an answer's body
}

// bodyMost bounds what is read of an answer, in bytes.
const bodyMost = 8 << 20

// Once sends the request once and returns the answer's body if it is right.
func (r Request) Once(ctx context.Context, c *http.Client, base string) (string, error) {
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if r.Body != "" {
		method, body = http.MethodPost, strings.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+r.Path, body)
	if err != nil {
		return "", fmt.Errorf("making a request: %w", err)
	}
	if r.Body != "" {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err //nolint:wrapcheck // says method and URL
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(resp.Body, bodyMost))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: reading the answer: %w", req.URL, err)
	case resp.StatusCode/100 != 2:
		return "", &StatusError{URL: req.URL.String(), Code: resp.StatusCode, Body: string(got[:min(len(got), 300)])}
	}
	if err := r.Check(string(got)); err != nil {
		return "", fmt.Errorf("%s: wrong answer: %w", req.URL, err)
	}
	return string(got), nil
}

// StatusError is an answer that is not 2xx.
type StatusError struct {
	URL  string
	Code int
	Body string // its beginning
}

func (e *StatusError) Error() string { return fmt.Sprintf("%s: status %d: %q", e.URL, e.Code, e.Body) }

// NewClient returns a client with connections of its own, kept open, as many
// as it needs at once. The caller calls CloseIdleConnections.
func NewClient() *http.Client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{Transport: &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: 1 << 10, DisableCompression: true,
	}}
}

// kind names an error for counting.
func kind(err error) string {
	var status *StatusError
	var network net.Error
	switch {
	case errors.As(err, &status):
		return "status"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "timeout"
	case strings.Contains(err.Error(), "wrong answer"):
		return "body"
	default:
		return "connection"
	}
}
