// Package compose is the composition function: it turns a claim, the platform's catalog and what was observed into
// composed resources and a status. It must not open a connection, read a clock or keep anything between two calls
// but a decoded copy of the catalog.
package compose
