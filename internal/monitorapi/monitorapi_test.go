package monitorapi

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Monitors and providers of different versions talk to each other, so the names on the wire never change.
func TestStatusOnTheWire(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cases := map[string]struct {
		reason string
		status Status
		wire   string
	}{
		"Full": {
			reason: "Every field has the name it always had.",
			status: Status{
				Version: StatusVersion, Namespace: "team-a", Dispatcher: "pool", Role: "coder", Pod: "pool-1", Slot: "0", Epoch: "1", Restore: "none",
				State: StateDraining, DrainID: "d1", Reason: "because", Tasks: Tasks{UnknownSince: &at}, StartedAt: at,
			},
			wire: `{"version":1,"namespace":"team-a","dispatcher":"pool","role":"coder","pod":"pool-1","slot":"0","epoch":"1","restore":"none",` +
				`"state":"Draining","drainID":"d1","ready":false,"reason":"because","tasks":{"known":false,"unknownSince":"2026-01-02T03:04:05Z"},"startedAt":"2026-01-02T03:04:05Z"}`,
		},
		"Stateless": {
			reason: "What a worker does not have is absent.",
			status: Status{Version: StatusVersion, State: StateActive, Ready: true, StartedAt: at},
			wire:   `{"version":1,"namespace":"","dispatcher":"","role":"","pod":"","state":"Active","ready":true,"tasks":{"known":false},"startedAt":"2026-01-02T03:04:05Z"}`,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b, err := json.Marshal(tc.status)
			if diff := cmp.Diff(tc.wire, string(b)); err != nil || diff != "" {
				t.Errorf("\n%s\nerror %v, -want, +got:\n%s", tc.reason, err, diff)
			}

			// A newer monitor says more; an older reader ignores it.
			var got Status
			err = json.Unmarshal([]byte(strings.Replace(tc.wire, "{", `{"new":{"a":1},`, 1)), &got)

			if diff := cmp.Diff(tc.status, got); err != nil || diff != "" {
				t.Errorf("\n%s\nerror %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}

// The contract knows the standard library only: the monitor links it once per agent.
func TestNoDeps(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff("github.com/southwest-ai/agent-operator/internal/monitorapi", strings.TrimSpace(string(out))); diff != "" {
		t.Errorf("packages that are not the standard library's: -want, +got:\n%s", diff)
	}
}
