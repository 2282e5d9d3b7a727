package main

import "github.com/southwest-ai/agent-operator/internal/controller/vectorcollection"

// stores returns the vector stores that this provider can reach: a driver each.
func stores() vectorcollection.Backends {
	return vectorcollection.Backends{}
}
