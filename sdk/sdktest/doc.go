// Package sdktest checks that a plugin keeps the plugin protocol
// (docs/guide/plugin-protocol.md): it runs the plugin's executable, written in
// whatever language, in real processes over real gRPC and sockets, most of the
// time under the server's own host. `tqserver plugin test` is its command line.
package sdktest
