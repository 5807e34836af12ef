package fastcgi

import (
	"errors"
	"net"
	"strconv"
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("fastcgi: server closed")

// Causes for which a request's context ends (context.Cause) and its reads and
// writes fail.
var (
	// ErrAborted: the web server sent ABORT_REQUEST.
	ErrAborted = errors.New("fastcgi: the web server aborted the request")
	// ErrConnLost: the connection to the web server is gone.
	ErrConnLost = errors.New("fastcgi: the connection is lost")
	// ErrAbortedByHandler: the handler called Abort.
	ErrAbortedByHandler = errors.New("fastcgi: the handler gave the response up")
	// ErrHandlerDone: the handler has returned.
	ErrHandlerDone = errors.New("fastcgi: the handler has returned")
	// ErrStalled: the handler did not read STDIN while other requests of the
	// connection waited behind it for longer than StallTimeout.
	ErrStalled = errors.New("fastcgi: STDIN was not read and held up other requests")
)

// ErrorKind groups the errors of connections, for counting.
type ErrorKind uint8

// The kinds of errors.
const (
	// KindProtocol: the peer broke the protocol; the connection was closed.
	KindProtocol ErrorKind = iota
	// KindTimeout: the peer was too slow in sending or taking; closed.
	KindTimeout
	// KindRead and KindWrite: the network failed, or the peer left in the
	// middle of a request; closed.
	KindRead
	KindWrite
	// KindRefused: AllowConn said no, or MaxConns was reached; closed.
	KindRefused
	// KindParams: a request's params were refused; it got a 400 or 431.
	KindParams
	// KindLimit: a request was refused with an END_REQUEST status, or one was
	// given up because it held up others.
	KindLimit
	// KindPanic: a handler panicked; the connection was closed.
	KindPanic
	// KindAccept: accepting failed for a moment.
	KindAccept

	numKinds
)

// String returns a word fit for a metric's label.
func (k ErrorKind) String() string {
	switch k {
	case KindProtocol:
		return "protocol"
	case KindTimeout:
		return "timeout"
	case KindRead:
		return "read"
	case KindWrite:
		return "write"
	case KindRefused:
		return "refused"
	case KindParams:
		return "params"
	case KindLimit:
		return "limit"
	case KindPanic:
		return "panic"
	case KindAccept:
		return "accept"
	case numKinds:
	}
	return "unknown"
}

// ConnError is an error of one connection of a Server.
type ConnError struct {
	Kind ErrorKind
	Err  error
	// Remote is the peer, nil for KindAccept.
	Remote net.Addr
}

// Error implements error.
func (e ConnError) Error() string {
	if e.Remote == nil {
		return e.Kind.String() + ": " + e.Err.Error()
	}
	return e.Kind.String() + " error of " + e.Remote.String() + ": " + e.Err.Error()
}

// Unwrap returns what went wrong.
func (e ConnError) Unwrap() error { return e.Err }

// Stage says how far a request of a Conn had come when it failed, which is
// what decides whether it may be sent again.
type Stage uint8

// The stages.
const (
	// StageNotSent: the application cannot have seen the whole request head;
	// sending it again elsewhere is safe.
	StageNotSent Stage = iota + 1
	// StageUnanswered: it was sent, and nothing of the answer came.
	StageUnanswered
	// StageBroken: the answer began and broke off.
	StageBroken
)

// String describes the stage.
func (s Stage) String() string {
	switch s {
	case StageNotSent:
		return "not sent"
	case StageUnanswered:
		return "sent, but no answer"
	case StageBroken:
		return "answer broken off"
	}
	return "stage " + strconv.Itoa(int(s))
}

// Error is a request of a Conn that failed. The connection is of no more use,
// except after a StatusError.
type Error struct {
	Stage Stage
	Err   error
}

// Error implements error.
func (e *Error) Error() string { return "fastcgi: request " + e.Stage.String() + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// StatusError is an application's refusal of a request: FCGI_OVERLOADED,
// FCGI_CANT_MPX_CONN or FCGI_UNKNOWN_ROLE.
type StatusError struct{ Status ProtocolStatus }

// Error implements error.
func (e StatusError) Error() string { return "the application answered " + e.Status.String() }

// protocolError is a breach of the protocol by the peer.
type protocolError struct{ problem string }

func (e *protocolError) Error() string { return "fastcgi: protocol error: " + e.problem }
