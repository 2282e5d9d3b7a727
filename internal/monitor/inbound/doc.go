// Package inbound is the proxy before an agent's own port: it counts what is open and refuses new tasks while the worker
// drains. It knows nothing of drains but a function that says so.
package inbound
