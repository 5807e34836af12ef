// Package sdktest checks that a plugin keeps the contract of package sdk: it
// runs the plugin's executable under the server's own host, in real processes
// over real gRPC and sockets, as the server does.
package sdktest
