// Package meter tells from the bytes of a request and of its answer what a model server billed. It knows the wire formats
// of model servers, and must not know a connection, a metric or who asked.
package meter
