//go:build !linux

package pages

// Return does nothing where the kernel is not asked so.
func Return() {}
