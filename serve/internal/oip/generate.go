// Package oip holds the Go bindings of the messages over gRPC.
package oip

// Made with protoc 35.1 (pip's grpcio-tools 1.85; Debian's protobuf-compiler
// does too) and
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
//
//go:generate protoc --go_out=. --go_opt=paths=source_relative oip.proto oip_health.proto oip_reflection.proto
