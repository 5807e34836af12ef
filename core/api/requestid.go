package api

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
)

type requestKey struct{}

// request is what goes with every request: one allocation for all of it.
type request struct {
	id    string
	notes Notes
}

// WithRequestID returns ctx with the ID of its request, and Notes; fronts call it.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, &request{id: id})
}

// NotesFrom returns the notes about the request, nil outside of one. They belong
// to the goroutine that serves the request.
func NotesFrom(ctx context.Context) *Notes {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return &r.notes
	}
	return nil
}

// RequestID returns the ID of the request, by which lines of several logs are
// brought together; empty outside of one.
func RequestID(ctx context.Context) string {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r.id
	}
	return ""
}

// requestIDLength of a new ID, in hexadecimal digits, as nginx's $request_id has it.
const requestIDLength = 32

// NewRequestID returns an ID no other request has. It is no secret.
func NewRequestID() string {
	var raw [requestIDLength / 2]byte
	var text [requestIDLength]byte
	for i := 0; i < len(raw); i += 8 {
		n := rand.Uint64() //nolint:gosec // unique, not secret
		for j := range 8 {
			raw[i+j] = byte(n >> (8 * j))
		}
	}
	hex.Encode(text[:], raw[:])
	return string(text[:])
}

// requestIDMost bounds the IDs of others, in bytes.
const requestIDMost = 128

// TrustedRequestID returns the ID that somebody trusted has given to the
// request, or a new one when that has other characters than IDs have: it goes
// into logs.
func TrustedRequestID(id string) string {
	if id == "" || len(id) > requestIDMost {
		return NewRequestID()
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':', c == '/', c == '+', c == '=', c == '@':
		default:
			return NewRequestID()
		}
	}
	return id
}
