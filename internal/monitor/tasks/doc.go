// Package tasks learns what an agent has to do, by asking the agent on loopback. It knows nothing of drains or of who is told.
package tasks
