// Package rpc is a go-plugin plugin whose host sends it every request in a
// gRPC call: the way that TQServer does not go, measured beside it.
package rpc

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative rpc.proto
