package store

// Explain is what buckets do with errors, for tests that make them otherwise.
var Explain = explain
