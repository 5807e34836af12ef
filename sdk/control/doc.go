// Package control is the wire of the plugin protocol: the gRPC service that a
// plugin process serves, and what go-plugin needs to know to shake hands. It
// carries the types of package sdk; which of them mean what is said there.
package control

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative control.proto
