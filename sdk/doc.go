// Package sdk is what the author of a backend imports: Serve runs any
// http.Handler as a TQServer worker, ServePlugin runs a Plugin, which is how
// backends for other languages (php-cgi among them) are written.
//
// A plugin process serves exactly one worker. Control goes over gRPC
// (package sdk/control); request bytes never do: a plugin lends endpoints,
// sockets that speak FastCGI, and the server's pool dials them.
package sdk
