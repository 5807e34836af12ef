// Package listen holds the server's listening sockets, which outlive a
// generation of the configuration: the next generation asks for the same
// addresses and gets handles on the sockets that are already open, so that no
// connection is refused in between. The last handle to be closed closes the
// socket, and removes the file of a unix one.
//
// Linux only: how a unix socket gets its mode relies on it.
package listen
