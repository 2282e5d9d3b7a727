package docs

import "testing"

// What is printed must be what is shown, but for what differs from run to run.
func TestShape(t *testing.T) {
	shown := "NAME               ROLE    REPLICAS   AGE\ncoder-agent-pool   coder   3          6s\n"

	cases := map[string]struct {
		reason  string
		shows   string
		printed string
		other   bool
	}{
		"Same":           {reason: "Word for word.", shows: shown, printed: shown},
		"Older":          {reason: "Times and blanks differ.", shows: shown, printed: "NAME   ROLE   REPLICAS   AGE\ncoder-agent-pool   coder   3   2m13s\n"},
		"Milliseconds":   {reason: "However they are written.", shows: "ready after 408 ms\n", printed: "ready after 6169 ms\n"},
		"Number":         {reason: "Another number is another answer.", shows: shown, printed: "NAME   ROLE   REPLICAS   AGE\ncoder-agent-pool   coder   2   6s\n", other: true},
		"Column":         {reason: "So is a column that is new.", shows: shown, printed: "NAME   ROLE   REPLICAS   PHASE   AGE\ncoder-agent-pool   coder   3   Ready   6s\n", other: true},
		"More":           {reason: "And a line.", shows: shown, printed: shown + "other   coder   1   1s\n", other: true},
		"Pod":            {reason: "A pod's name ends at random.", shows: "pod-59f688ff44-6h292   0\n", printed: "pod-7d9c5f6b8d-x2x7p   0\n"},
		"Dots":           {reason: "What is left out may be anything in the line.", shows: `{"task":{...}` + "\n", printed: `{"task":{"id":"1"}}` + "\n"},
		"DotsOneWay":     {reason: "And nothing else may be missing.", shows: `{"task":{...,"state":"done"...` + "\n", printed: `{"task":{"id":"1"}}` + "\n", other: true},
		"Lines":          {reason: "Or any lines.", shows: "...\ndone\n", printed: "a\nb\ndone\n"},
		"NoLines":        {reason: "Or none.", shows: "...\ndone\n", printed: "done\n"},
		"Metacharacters": {reason: "A page is no regular expression.", shows: "a (b) [c] 1.5\n", printed: "a (b) [c] 1x5\n", other: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Shape(tc.shows).MatchString(tc.printed); got == tc.other {
				t.Errorf("%s\nShape(%q) = %s matches %q: %t", tc.reason, tc.shows, Shape(tc.shows), tc.printed, got)
			}
		})
	}
}
