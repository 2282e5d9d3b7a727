package monitor

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func TestRestore(t *testing.T) {
	cases := map[string]struct {
		reason string
		// annotations are the pod's; nil is a pod whose volume is not there.
		annotations map[string]string
		state       func(t *testing.T) string
		// says is what the error, or else the log, must say.
		says string
		bad  bool
	}{
		"NoStore": {
			reason:      "Without a store the state directory starts as it is, and that is said.",
			annotations: map[string]string{monitorapi.AnnotationSlot: "4", monitorapi.AnnotationEpoch: "9", monitorapi.AnnotationRestore: monitorapi.RestoreNone},
			says:        "no checkpoint store is configured",
		},
		"NothingToRestore": {
			reason:      "A binder that knows of no restore says nothing of one.",
			annotations: map[string]string{monitorapi.AnnotationSlot: "0"},
			says:        "no checkpoint store is configured",
		},
		"Unbound": {
			reason: "A worker without a slot would write into nobody's state.", annotations: map[string]string{"a": "b"},
			says: "delete the pod", bad: true,
		},
		"NotASlot": {
			reason: "A slot is a number.", annotations: map[string]string{monitorapi.AnnotationSlot: "-1"},
			says: "must be a number from 0", bad: true,
		},
		"CannotRestore": {
			reason:      "A worker that is to restore something does not start without it.",
			annotations: map[string]string{monitorapi.AnnotationSlot: "0", monitorapi.AnnotationRestore: "7-12"},
			says:        "give the pool a checkpoint", bad: true,
		},
		"NoVolume": {reason: "A pod without its annotations is set up wrongly.", says: "cannot read the pod's annotations", bad: true},
		"NoState": {
			reason: "A state directory that is not there is found before the agent starts.", annotations: map[string]string{monitorapi.AnnotationSlot: "0"},
			state: func(t *testing.T) string { t.Helper(); return filepath.Join(t.TempDir(), "none") },
			says:  "cannot write to the state volume", bad: true,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir, state := t.TempDir(), t.TempDir()
			if tc.state != nil {
				state = tc.state(t)
			}

			if tc.annotations != nil {
				if err := os.WriteFile(filepath.Join(dir, monitorapi.PodinfoAnnotations), []byte(formatPodinfo(tc.annotations)), 0o600); err != nil {
					t.Fatal(err)
				}
			}

			var log bytes.Buffer

			err := Restore(t.Context(), RestoreConfig{PodinfoDir: dir, StateVolume: state}, slog.New(slog.NewJSONHandler(&log, nil)))
			if (err != nil) != tc.bad {
				t.Fatalf("\n%s\nRestore(...): error %v, want one: %t", tc.reason, err, tc.bad)
			}

			said := log.String()
			if err != nil {
				said = err.Error()
			} else if !json.Valid([]byte(said)) || strings.Count(said, "\n") != 1 {
				t.Errorf("\n%s\nRestore(...) logged %q, want one line of JSON", tc.reason, said)
			}

			if !strings.Contains(said, tc.says) {
				t.Errorf("\n%s\nRestore(...) said %q, want %q in it", tc.reason, said, tc.says)
			}

			left, _ := os.ReadDir(filepath.Join(state, monitorapi.StateSubPath))
			if diff := cmp.Diff(0, len(left)); diff != "" {
				t.Errorf("\n%s\nRestore(...) left %v in the state directory", tc.reason, left)
			}
		})
	}
}
