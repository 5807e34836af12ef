package docroot

import (
	"errors"
	"net/http"

	"golang.org/x/sys/unix"
)

// Kind says what a Target is.
type Kind int

// The kinds of targets.
const (
	// Script is run by PHP.
	Script Kind = iota + 1
	// Static is sent as it is.
	Static
	// Redirect sends the client to Location: a folder was asked for without
	// its trailing slash.
	Redirect
)

// Target is what answers a request.
type Target struct {
	Kind Kind
	// Filename of a Script is what SCRIPT_FILENAME is to say: Root and the
	// script's path below it. Filename of a Static is the file's real path,
	// without any symlink.
	Filename string
	// Root of a Script is the document root's real path as it is now, so that
	// PHP's caches of real paths never answer with what a switched link led to;
	// or the root as configured, see Covered.
	Root string
	// ScriptName is the URL path of the script. From Resolve it lies below the
	// worker's prefix: "/hello.php".
	ScriptName string
	// PathInfo is what follows the script in the URL path: "" or "/extra".
	PathInfo string
	// Location of a Redirect is the cleaned path with a trailing slash, below
	// the worker's prefix and not escaped: "/folder/".
	Location string
}

// Error says why a request has no target.
type Error struct {
	// Status is the HTTP status to answer: 400, 403, 404 or 414; 500 or 503
	// when the file system or a limit of the process failed.
	Status int
	// Reason is for logs and FCGI_STDERR. It may quote bytes of the request,
	// escaped, and must not go to a client.
	Reason string
	// Err is the cause, nil when there is none.
	Err error
}

// Error returns the reason with its cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Reason + ": " + e.Err.Error()
	}
	return e.Reason
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Reasons that web servers' logs are searched for, in PHP-FPM's words
// (sapi/fpm/fpm/fpm_main.c).
const (
	reasonUnknown = "Primary script unknown"
	reasonDenied  = "Access denied"
)

// missing says whether err means that the name leads nowhere, as against a
// failure. A name too long for the file system leads nowhere: front
// controllers get long segments (tokens) that are no file names.
func missing(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) ||
		errors.Is(err, unix.ENAMETOOLONG) || errors.Is(err, unix.ELOOP)
}

// failure turns an error of a system call into an Error.
func failure(err error) *Error {
	switch {
	case missing(err):
		return &Error{Status: http.StatusNotFound, Reason: reasonUnknown, Err: err}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, errOutside):
		return &Error{Status: http.StatusForbidden, Reason: reasonDenied, Err: err}
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
		return &Error{Status: http.StatusServiceUnavailable, Reason: "cannot look up the file", Err: err}
	default:
		return &Error{Status: http.StatusInternalServerError, Reason: "cannot look up the file", Err: err}
	}
}
