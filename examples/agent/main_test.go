package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// run is the agent as main starts it.
func TestRunEndsWithoutRest(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())

	ctx, cancel := context.WithCancel(t.Context())

	var log bytes.Buffer

	ended := make(chan error, 1)
	logger := slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
		if strings.Contains(string(b), "takes tasks") {
			cancel()
		}

		return log.Write(b)
	}), nil))

	go func() {
		ended <- run(ctx, config{listen: "127.0.0.1:0", stateDir: t.TempDir(), modelURL: "http://127.0.0.1:1", concurrency: 3, queue: 1, keep: 1, drain: time.Minute, patience: time.Second}, logger)
	}()

	if err := <-ended; err != nil {
		t.Errorf("run(...): %v\n%s", err, log.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestFromEnv(t *testing.T) {
	cases := map[string]struct {
		reason string
		env    map[string]string
		says   string
	}{
		"Defaults":    {reason: "Everything has a default but the model.", env: map[string]string{"OPENAI_BASE_URL": "http://m"}},
		"NoModel":     {reason: "An agent without a model is no agent.", says: "OPENAI_BASE_URL"},
		"Concurrency": {reason: "Nobody works in no place.", env: map[string]string{"OPENAI_BASE_URL": "http://m", "AGENT_CONCURRENCY": "0"}, says: "AGENT_CONCURRENCY"},
		"Queue":       {reason: "A number is a number.", env: map[string]string{"OPENAI_BASE_URL": "http://m", "AGENT_QUEUE": "x"}, says: "AGENT_QUEUE"},
		"Drain":       {reason: "A duration has a unit.", env: map[string]string{"OPENAI_BASE_URL": "http://m", "AGENT_DRAIN": "5"}, says: "AGENT_DRAIN"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := fromEnv(func(n string) string { return tc.env[n] })
			if (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("\n%s\nfromEnv(...): %v, want %q", tc.reason, err, tc.says)
			}
		})
	}
}
