package agentscaler

import (
	"testing"
	"time"

	"github.com/southwest-ai/agent-operator/internal/worker"
)

func TestAgain(t *testing.T) {
	const poll = time.Minute

	quiet := worker.Result{View: worker.View{Replicas: 3, Cap: -1}}

	cases := map[string]struct {
		reason     string
		looks      []worker.Result
		from, upTo time.Duration
	}{
		"Unknown": {reason: "Of a pool that nobody has looked at nothing else may tell.", from: poll, upTo: poll + poll/10},
		"Settled": {reason: "A pool that is as it should be is left alone for longer: watches tell of it.", looks: []worker.Result{quiet}, from: settledPolls * poll, upTo: settledPolls * (poll + poll/10)},
		"AtWork":  {reason: "What was begun is gone on with.", looks: []worker.Result{{Again: true}}, from: soon, upTo: soon},
		"Unsettled": {
			reason: "A pool that has to be looked at again is no settled one, also if it was.", looks: []worker.Result{quiet, {Again: true, Moved: true}}, from: soon, upTo: soon,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			mg, w := scaler(3), newWork()
			for _, r := range tc.looks {
				w.advanced(mg, 3, r)
			}

			if got := w.again(mg, poll); got < tc.from || got > tc.upTo {
				t.Errorf("%s\nit is looked at again after %s, want %s to %s", tc.reason, got, tc.from, tc.upTo)
			}
		})
	}
}
