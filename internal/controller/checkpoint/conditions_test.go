package checkpoint

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

func ptr[T any](v T) *T { return &v }

func TestSetConditions(t *testing.T) {
	const mib = 1 << 20

	type args struct {
		corrupt *int32
		stored  *int64
		quota   string
		ages    []*time.Duration
		before  []xpv2.Condition
	}

	cases := map[string]struct {
		reason string
		args   args
		want   []xpv2.Condition
	}{
		"NothingKnown": {
			reason: "What nobody has looked at is unknown, and a pool without workers loses nothing.",
			want: []xpv2.Condition{
				{Type: "Intact", Status: corev1.ConditionUnknown, Reason: "Unknown", Message: "Nothing was read back yet"},
				{Type: "RPOMet", Status: corev1.ConditionTrue, Reason: "Current"},
			},
		},
		"AllWell": {
			reason: "What is well needs no words.",
			args:   args{corrupt: ptr(int32(0)), stored: ptr(int64(mib)), quota: "1Mi", ages: []*time.Duration{ptr(time.Minute), ptr(2 * time.Minute)}},
			want: []xpv2.Condition{
				{Type: "Intact", Status: corev1.ConditionTrue, Reason: "Intact"},
				{Type: "RPOMet", Status: corev1.ConditionTrue, Reason: "Current"},
				{Type: "WithinQuota", Status: corev1.ConditionTrue, Reason: "WithinQuota"},
			},
		},
		"AllWrong": {
			reason: "What is wrong is told with its numbers. Two workers are too far behind, and it does not matter that one does not say.",
			args: args{
				corrupt: ptr(int32(3)), stored: ptr(int64(1.5*mib + 1)), quota: "1Mi",
				ages: []*time.Duration{ptr(2*time.Minute + 1), ptr(time.Hour), nil, ptr(time.Second)},
			},
			want: []xpv2.Condition{
				{Type: "Intact", Status: corev1.ConditionFalse, Reason: "Corrupt", Message: "Objects that are lost or are not what was written: 3. The events name them"},
				{
					Type: "RPOMet", Status: corev1.ConditionFalse, Reason: "Behind",
					Message: "Workers whose state was in no checkpoint for more than 2m0s, two intervals: 2 of 4. Their monitors' logs say why",
				},
				{
					Type: "WithinQuota", Status: corev1.ConditionFalse, Reason: "QuotaExceeded",
					Message: "The repository takes 1.5 MiB (1572865 bytes) and its quota is 1Mi: keep fewer checkpoints, or raise the quota. Saves go on",
				},
			},
		},
		"NotMeasured": {
			reason: "A quota says nothing before the first measurement, and an RPO nothing while a worker is silent.",
			args:   args{corrupt: ptr(int32(0)), quota: "1Mi", ages: []*time.Duration{nil, ptr(time.Second), nil}},
			want: []xpv2.Condition{
				{Type: "Intact", Status: corev1.ConditionTrue, Reason: "Intact"},
				{Type: "RPOMet", Status: corev1.ConditionUnknown, Reason: "Unknown", Message: "Workers that do not say how old their newest checkpoint is: 2 of 3"},
				{Type: "WithinQuota", Status: corev1.ConditionUnknown, Reason: "Unknown", Message: "It was not measured yet"},
			},
		},
		"QuotaTakenAway": {
			reason: "Without a quota nothing is said of one, whatever was said before.",
			args: args{
				corrupt: ptr(int32(0)), stored: ptr(int64(mib)),
				before: []xpv2.Condition{{Type: "WithinQuota", Status: corev1.ConditionFalse, Reason: "QuotaExceeded", Message: "too much"}},
			},
			want: []xpv2.Condition{
				{Type: "Intact", Status: corev1.ConditionTrue, Reason: "Intact"},
				{Type: "RPOMet", Status: corev1.ConditionTrue, Reason: "Current"},
			},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			mg := &v1alpha1.Checkpoint{}
			mg.Status.AtProvider = v1alpha1.CheckpointObservation{Corrupt: tc.args.corrupt, StoredBytes: tc.args.stored}
			mg.Status.Conditions = tc.args.before

			if tc.args.quota != "" {
				mg.Spec.ForProvider.Quota = ptr(resource.MustParse(tc.args.quota))
			}

			setConditions(mg, judge(tc.args.ages, time.Minute))

			if diff := cmp.Diff(tc.want, mg.Status.Conditions, cmpopts.IgnoreTypes(metav1.Time{}), cmpopts.SortSlices(func(a, b xpv2.Condition) bool { return a.Type < b.Type })); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestMet(t *testing.T) {
	cases := map[string]struct {
		reason string
		ages   []*time.Duration
		want   *bool
	}{
		"Nobody":       {reason: "Without workers there is nothing to lose.", want: ptr(true)},
		"Current":      {reason: "Two intervals are allowed.", ages: []*time.Duration{ptr(20 * time.Second)}, want: ptr(true)},
		"Behind":       {reason: "Beyond two intervals it is not met.", ages: []*time.Duration{ptr(20*time.Second + 1)}, want: ptr(false)},
		"Silent":       {reason: "It is not known of one who does not say.", ages: []*time.Duration{ptr(time.Second), nil}},
		"BehindSilent": {reason: "One who is behind is enough, whatever the others would say.", ages: []*time.Duration{nil, ptr(time.Hour)}, want: ptr(false)},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, judge(tc.ages, 10*time.Second).met()); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 10 << 30: "10.0 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) is %s, want %s", n, got, want)
		}
	}
}
