package main

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// The states of a task, as A2A v1 writes them.
const (
	stateSubmitted = "TASK_STATE_SUBMITTED"
	stateWorking   = "TASK_STATE_WORKING"
	stateCompleted = "TASK_STATE_COMPLETED"
	stateFailed    = "TASK_STATE_FAILED"
	stateCanceled  = "TASK_STATE_CANCELED"
)

const (
	roleUser  = "ROLE_USER"
	roleAgent = "ROLE_AGENT"
)

// The A2A v1 objects this agent uses; fields it does not use are ignored.
type (
	part struct {
		Text string `json:"text"`
	}

	message struct {
		MessageID string `json:"messageId"`
		ContextID string `json:"contextId,omitempty"`
		TaskID    string `json:"taskId,omitempty"`
		Role      string `json:"role"`
		Parts     []part `json:"parts"`
	}

	status struct {
		State     string    `json:"state"`
		Message   *message  `json:"message,omitempty"`
		Timestamp time.Time `json:"timestamp"`
	}

	artifact struct {
		ArtifactID string `json:"artifactId"`
		Parts      []part `json:"parts"`
	}

	task struct {
		ID        string     `json:"id"`
		ContextID string     `json:"contextId"`
		Status    status     `json:"status"`
		Artifacts []artifact `json:"artifacts,omitempty"`
		History   []message  `json:"history,omitempty"`
	}
)

// finished says whether a task will not change any more.
func (t task) finished() bool {
	return t.Status.State == stateCompleted || t.Status.State == stateFailed || t.Status.State == stateCanceled
}

// text returns what a message says.
func (m message) text() string {
	var s string
	for _, p := range m.Parts {
		s += p.Text
	}

	return s
}

// now is the time as A2A wants it: UTC, to the millisecond.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func newID() string {
	var b [16]byte
	// crypto/rand does not fail.
	_, _ = rand.Read(b[:])

	return hex.EncodeToString(b[:])
}
