package main

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
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

// states are all that a task of this agent can be in.
var states = []string{
	stateSubmitted, stateWorking, stateCompleted, stateFailed, stateCanceled,
	// Those that this agent's tasks are never in: whoever asks for them is right that there are none.
	"TASK_STATE_INPUT_REQUIRED", "TASK_STATE_AUTH_REQUIRED", "TASK_STATE_REJECTED",
}

// outcomes are the ways a task can end, as the metrics call them.
var outcomes = map[string]string{stateCompleted: "completed", stateFailed: "failed", stateCanceled: "canceled"}

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

var errNotText = errors.New("this agent reads text only")

// UnmarshalJSON refuses parts that hold anything but text.
func (p *part) UnmarshalJSON(b []byte) error {
	var in struct{ Text *string }
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}

	if in.Text == nil {
		return errNotText
	}

	p.Text = *in.Text

	return nil
}

// finished says whether a task will not change any more.
func (t task) finished() bool { return outcomes[t.Status.State] != "" }

// compare orders tasks by their last change.
func compare(a, b task) int {
	return cmp.Or(a.Status.Timestamp.Compare(b.Status.Timestamp), strings.Compare(a.ID, b.ID))
}

// text returns what a message says.
func (m message) text() string {
	var s strings.Builder
	for _, p := range m.Parts {
		s.WriteString(p.Text)
	}

	return s.String()
}

// now is the time as A2A wants it: UTC, to the millisecond.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func newID() string { return strings.ToLower(rand.Text()) }
