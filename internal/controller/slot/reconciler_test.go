package slot

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

func TestUntold(t *testing.T) {
	a, b := Pod{Name: "a", UID: "a"}, Pod{Name: "b", UID: "b"}
	key := types.NamespacedName{Namespace: "ns", Name: "coder"}

	cases := map[string]struct {
		reason  string
		told    map[string]bool
		waiting []Pod
		want    []Pod
		left    map[types.NamespacedName]map[string]bool
	}{
		"New": {
			reason:  "Who was told nothing waits.",
			waiting: []Pod{a, b},
			want:    []Pod{a, b},
			left:    map[types.NamespacedName]map[string]bool{},
		},
		"LateCache": {
			reason:  "Who was told does not wait, although the cache still says so.",
			told:    map[string]bool{"a": true},
			waiting: []Pod{a, b},
			want:    []Pod{b},
			left:    map[types.NamespacedName]map[string]bool{key: {"a": true}},
		},
		"CaughtUp": {
			reason:  "Once the cache knows, nothing is remembered: the memory does not grow.",
			told:    map[string]bool{"a": true},
			waiting: []Pod{b},
			want:    []Pod{b},
			left:    map[types.NamespacedName]map[string]bool{},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := &Reconciler{told: map[types.NamespacedName]map[string]bool{}}
			p := &Pool{Namespace: "ns", Dispatcher: "coder"}

			if tc.told != nil {
				r.told[key] = tc.told
			}

			if diff := cmp.Diff(tc.want, r.untold(p, tc.waiting)); diff != "" {
				t.Errorf("%s\nuntold(...): -want, +got:\n%s", tc.reason, diff)
			}

			if diff := cmp.Diff(tc.left, r.told); diff != "" {
				t.Errorf("%s\nremembered: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
