package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const scalerJSON = `{"apiVersion":"agent.southwest.ai/v1alpha1","kind":"AgentScaler","metadata":{"name":"coder","namespace":"team-a","labels":{"new":"field"}},
"spec":{"forProvider":{"triggers":[{"type":"QueueDepth","target":5}]}},
"status":{"conditions":[{"type":"Ready","status":"True","reason":"Available"},{"type":"ScalingActive","status":"False","reason":"LoadUnknown","message":"No worker is removed"}],
"atProvider":{"replicas":3,"desiredReplicas":2,"queueDepth":7,"cost":{"amount":"1.250000","currency":"USD"},"activeWorkers":2,"load":{"time":"2026-11-01T12:00:00Z","reason":"Vetoed","message":"2 would do",
"vetoes":[{"name":"Partial","message":"QueueDepth: 2 of 3 workers reported"}],
"triggers":[{"type":"QueueDepth","value":"7","target":"5","want":2},{"type":"PendingTasks","target":"3","unknown":"nobody told it"}]},
"decisions":[{"time":"2026-11-01T11:59:00Z","from":5,"to":3,"reason":"LoadLower","message":"from 5 to 3",
"removed":[{"time":"2026-11-01T11:59:10Z","name":"coder-a","slot":4,"checkpoint":"4/0000000001-0000000007"},{"time":"2026-11-01T11:59:11Z","name":"coder-b","slot":3,"forced":true}]}]}}}`

const scalerStory = `team-a/coder asks for 3 workers and wants 2.
ScalingActive is False (LoadUnknown): No worker is removed
Busy workers: 2, unfinished tasks: 7, tokens: unknown, of them in the last minute: unknown.
The tokens cost 1.250000 USD.

What it sees (30s ago): Vetoed, 2 would do
  QueueDepth    7 at 5 per worker  wants 2
  PendingTasks  unknown            nobody told it
  nobody is removed (Partial): QueueDepth: 2 of 3 workers reported

What was done, the newest first:
  2026-11-01T11:59:00Z (1m30s ago) from 5 to 3, LoadLower: from 5 to 3
    11:59:10  removed coder-a  slot 4  its state is in checkpoint 4/0000000001-0000000007
    11:59:11  removed coder-b  slot 3  it had nothing to save, and it did not drain in time
`

func TestWhy(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}

		return file
	}

	cases := map[string]struct {
		reason string
		cmd    WhyCmd
		want   string
		err    string
	}{
		"Story":   {reason: "What is, what is seen, what was done.", cmd: WhyCmd{File: write("scaler", scalerJSON), Output: "story"}, want: scalerStory},
		"New":     {reason: "What is not known is said to be unknown.", cmd: WhyCmd{File: write("new", `{"kind":"AgentScaler","metadata":{"name":"a","namespace":"b"}}`), Output: "story"}, want: "b/a asks for unknown workers and wants unknown.\n\nIts size has not been changed yet.\n"},
		"Other":   {reason: "Another object is refused.", cmd: WhyCmd{File: write("other", `{"kind":"Pod"}`)}, err: "no AgentScaler"},
		"NoJSON":  {reason: "So is what is none.", cmd: WhyCmd{File: write("no", `kind: AgentScaler`)}, err: "cannot read the AgentScaler"},
		"NoFile":  {reason: "A file that is not there is said to be so.", cmd: WhyCmd{File: filepath.Join(dir, "none")}, err: "no such file"},
		"Nothing": {reason: "It says what it needs.", err: "name the pool"},
		"Kind":    {reason: "Only pools have a story.", cmd: WhyCmd{Pool: "pod/a"}, err: "name it as ad/NAME"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer

			err := tc.cmd.Run(t.Context(), &Output{Out: &out, Now: func() time.Time { return time.Date(2026, 11, 1, 12, 0, 30, 0, time.UTC) }})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("%s\nerror %v, want %q", tc.reason, err, tc.err)
				}

				return
			}

			if diff := cmp.Diff(tc.want, out.String()); err != nil || diff != "" {
				t.Errorf("%s\nerror %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}
