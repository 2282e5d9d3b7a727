package monitor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePodinfo(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     string
		want   map[string]string
		bad    bool
	}{
		"Empty":    {reason: "A pod without annotations is one.", in: "", want: map[string]string{}},
		"Two":      {reason: "There is a pair on each line.", in: "a=\"1\"\nsouthwest.ai/slot=\"2\"\n", want: map[string]string{"a": "1", "southwest.ai/slot": "2"}},
		"Quoted":   {reason: "Values are quoted as Go does.", in: `a="x\n\"y\"=\u00e9\t"`, want: map[string]string{"a": "x\n\"y\"=é\t"}},
		"Equals":   {reason: "A value may hold what separates it.", in: `a="b=c"`, want: map[string]string{"a": "b=c"}},
		"NoValue":  {reason: "A line that is no pair is not guessed at.", in: "a\n", bad: true},
		"NoKey":    {reason: "A value without a key says nothing.", in: `="x"`, bad: true},
		"Unquoted": {reason: "The kubelet always quotes.", in: "a=1", bad: true},
		"Cut":      {reason: "Half a file is not obeyed.", in: "a=\"1\"\nb=\"2", bad: true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePodinfo([]byte(tc.in))
			if (err != nil) != tc.bad {
				t.Fatalf("\n%s\nParsePodinfo(...): error %v, want one: %t", tc.reason, err, tc.bad)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nParsePodinfo(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// formatPodinfo writes what the kubelet writes.
func formatPodinfo(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%q\n", k, m[k])
	}

	return b.String()
}

// FuzzParsePodinfo holds that any value survives, and that nothing panics.
func FuzzParsePodinfo(f *testing.F) {
	f.Add("southwest.ai/slot=\"1\"\n", "southwest.ai/drain", "an id")
	f.Add("a=\"\\", "a", "\x00\"\n=é\xff")
	f.Fuzz(func(t *testing.T, file, key, value string) {
		got, err := ParsePodinfo([]byte(file))
		if err == nil && len(got) > strings.Count(file, "\n")+1 {
			t.Errorf("more pairs than lines: %q", got)
		}

		key = strings.Map(func(r rune) rune {
			if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-./", r) {
				return r
			}

			return -1
		}, key)
		if key == "" {
			return
		}

		want := map[string]string{key: value}

		got, err = ParsePodinfo([]byte(formatPodinfo(want)))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("error %v, -want, +got:\n%s", err, diff)
		}
	})
}
