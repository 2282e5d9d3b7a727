//go:build !linux

package main

// returnPages does nothing where the kernel is not asked so.
func returnPages() {}
