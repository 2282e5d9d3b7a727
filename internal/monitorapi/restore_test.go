package monitorapi

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseRestoreFrom(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		want   RestoreFrom
		bad    bool
	}{
		"Time":       {reason: "A time in any zone.", text: "2026-01-02T15:04:05+01:00", want: RestoreFrom{Time: time.Date(2026, 1, 2, 14, 4, 5, 0, time.UTC)}},
		"Checkpoint": {reason: "One slot's checkpoint.", text: "12/0000000007-0000000042", want: RestoreFrom{Slot: "12", Position: "0000000007-0000000042"}},
		"NoSlot":     {reason: "A position alone may be any slot's.", text: "0000000007-0000000042", bad: true},
		"Padded":     {reason: "A slot has one name.", text: "03/0000000007-0000000042", bad: true},
		"Short":      {reason: "A position has all its digits.", text: "3/7-42", bad: true},
		"NoZone":     {reason: "A time without a zone is several.", text: "2026-01-02T15:04:05", bad: true},
		"Path":       {reason: "It never leads elsewhere.", text: "../1/0000000007-0000000042", bad: true},
		"Empty":      {reason: "Nothing is nothing.", bad: true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParseRestoreFrom(tc.text)
			if (err != nil) != tc.bad {
				t.Fatalf("%s\nParseRestoreFrom(%q): error %v", tc.reason, tc.text, err)
			}

			got.Time = got.Time.UTC()
			tc.want.Time = tc.want.Time.UTC()

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nParseRestoreFrom(%q): -want, +got:\n%s", tc.reason, tc.text, diff)
			}
		})
	}
}
