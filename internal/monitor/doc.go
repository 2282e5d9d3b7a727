// Package monitor is the sidecar of a worker: it obeys the commands in the pod's annotations, answers for the worker's
// state, and stands between the agent and its model. It runs once per agent, so it must stay small and must not know
// Kubernetes: it reads files and serves HTTP.
package monitor
