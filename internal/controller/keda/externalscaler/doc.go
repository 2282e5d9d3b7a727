// Package externalscaler is KEDA's contract with external scalers, generated. It must not know who serves it.
package externalscaler

// protoc is Debian's protobuf-compiler; its plugins are the modules' own, at the versions that go.mod names.
//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative externalscaler.proto
