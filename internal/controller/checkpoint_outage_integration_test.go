//go:build integration

package controller

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/storetest"
)

// A store that hangs is given up after its time and said to be unavailable, the pools of other stores are looked after as ever, and
// all is well when it is back.
func TestCheckpointStoreHangs(t *testing.T) {
	startProvider(t)

	s := newObjectStore(t)
	proxy := storetest.StartProxy(t, s.Address)

	pc := &v1alpha1.ProviderConfig{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "far"},
		Spec:       v1alpha1.ProviderConfigSpec{CheckpointStore: s.spec(s.ns, "credentials")},
	}
	pc.Spec.CheckpointStore.URL = strings.Replace(pc.Spec.CheckpointStore.URL, s.Endpoint, proxy.Endpoint, 1)
	pc.Spec.CheckpointStore.TimeoutSeconds = ptr(int32(1))

	hangs, beside := s.checkpoint("hangs"), s.checkpoint("beside")
	hangs.Spec.ProviderConfigReference.Name = "far"
	create(t, pc, hangs, beside)
	ready(t, hangs)
	ready(t, beside)

	proxy.Add(t, storetest.Toxic{Type: "timeout", Attributes: map[string]int{"timeout": 0}})

	began := time.Now()

	patch(t, get(t, hangs), func() { hangs.Spec.ForProvider.IntervalSeconds = ptr(int32(77)) })
	conditionIs(t, hangs, xpv2.TypeReady, corev1.ConditionFalse, xpv2.Unavailable().Reason)

	// It is tried twice, a second each.
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("a store that hangs was given up after %s", took)
	}

	s.saves(t, "beside", "a", "b", "c")
	s.pruned(t, "beside")

	if c := get(t, hangs).GetCondition(xpv2.TypeReady); c.Status != corev1.ConditionFalse {
		t.Errorf("the store hangs, and Ready is %s", c.Status)
	}

	proxy.Heal(t)
	ready(t, hangs)
	s.saves(t, "hangs", "a", "b", "c")
	s.pruned(t, "hangs")
}
