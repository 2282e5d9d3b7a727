package main

import "testing"

// The usage tells people what they typed.
func TestNameOf(t *testing.T) {
	for arg, want := range map[string]string{"aidispatch": "aidispatch", "/usr/bin/aidispatch": "aidispatch", "/x/kubectl-aidispatch": "kubectl aidispatch"} {
		if got := nameOf(arg); got != want {
			t.Errorf("nameOf(%q) = %q, want %q", arg, got, want)
		}
	}
}
