package slot

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseLedger(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		want   Ledger
		err    string
	}{
		"Good": {
			reason: "A ledger is read as it was written.",
			text:   `{"version":1,"epoch":7,"claims":[{"slot":2,"epoch":7,"pod":"a","uid":"u"}]}`,
			want:   Ledger{Version: 1, Epoch: 7, Claims: []Claim{{Slot: 2, Epoch: 7, Pod: "a", UID: "u"}}},
		},
		"NewFields": {
			reason: "What a newer provider adds without changing the form's version is ignored.",
			text:   `{"version":1,"epoch":7,"claims":[],"hibernated":[1]}`,
			want:   Ledger{Version: 1, Epoch: 7, Claims: []Claim{}},
		},
		"Empty": {
			reason: "A ConfigMap without a ledger was changed by hand: to go on with none would give slots away twice.",
			err:    "cannot parse",
		},
		"NewerVersion": {
			reason: "A form that we do not know may mean anything.",
			text:   `{"version":2,"epoch":7}`,
			err:    "cannot read version 2",
		},
		"SlotTwice": {
			reason: "A slot that two pods hold is a contradiction.",
			text:   `{"version":1,"epoch":7,"claims":[{"slot":2,"epoch":6,"pod":"a","uid":"u"},{"slot":2,"epoch":7,"pod":"b","uid":"v"}]}`,
			err:    "contradicts",
		},
		"PodTwice": {
			reason: "A pod that holds two slots is a contradiction.",
			text:   `{"version":1,"epoch":7,"claims":[{"slot":1,"epoch":6,"pod":"a","uid":"u"},{"slot":2,"epoch":7,"pod":"a","uid":"u"}]}`,
			err:    "contradicts",
		},
		"EpochOfTheFuture": {
			reason: "An epoch that was never handed out is a contradiction.",
			text:   `{"version":1,"epoch":7,"claims":[{"slot":1,"epoch":8,"pod":"a","uid":"u"}]}`,
			err:    "contradicts",
		},
		"NegativeSlot": {
			reason: "There are no negative slots.",
			text:   `{"version":1,"epoch":7,"claims":[{"slot":-1,"epoch":7,"pod":"a","uid":"u"}]}`,
			err:    "contradicts",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseLedger([]byte(tc.text))
			if (err == nil) != (tc.err == "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
				t.Fatalf("%s\nparseLedger(...): error %v, want one with %q", tc.reason, err, tc.err)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nparseLedger(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func FuzzParseLedger(f *testing.F) {
	f.Add([]byte(`{"version":1,"epoch":7,"claims":[{"slot":2,"epoch":7,"pod":"a","uid":"u"}]}`))
	f.Add([]byte(`{"version":1,"epoch":-1,"claims":[null]}`))

	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseLedger(b)
		if err != nil {
			return
		}

		again, err := l.encode()
		if err != nil {
			t.Fatal(err)
		}

		if _, err := parseLedger(again); err != nil {
			t.Errorf("a ledger that was accepted is not accepted once written: %v", err)
		}
	})
}
