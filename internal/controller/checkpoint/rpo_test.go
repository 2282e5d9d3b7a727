package checkpoint

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Workers are asked how old their state in the store is, and the one that does not answer holds nobody up.
func TestAges(t *testing.T) {
	w := newWorld(t)
	w.now = func() time.Time { return noon }

	status := func(s monitorapi.Status) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path != monitorapi.PathStatus {
				http.NotFound(rw, r)

				return
			}

			if err := json.NewEncoder(rw).Encode(s); err != nil {
				t.Error(err)
			}
		}
	}

	cases := map[string]struct {
		reason string
		answer http.HandlerFunc
		want   *time.Duration
	}{
		"10.0.0.1": {
			reason: "The state counts from when it was last seen to be in a checkpoint.",
			answer: status(monitorapi.Status{StartedAt: ago(time.Hour), Checkpoint: &monitorapi.Checkpoint{CurrentAt: ptr(ago(time.Minute))}}),
			want:   ptr(time.Minute),
		},
		"10.0.0.2": {
			reason: "One that has saved nothing may lose what it did since it began.",
			answer: status(monitorapi.Status{StartedAt: ago(3 * time.Minute), Checkpoint: &monitorapi.Checkpoint{}}),
			want:   ptr(3 * time.Minute),
		},
		"10.0.0.3": {reason: "One that keeps no checkpoints does not say.", answer: status(monitorapi.Status{StartedAt: ago(time.Minute)})},
		"10.0.0.4": {reason: "Nor does one that talks of something else.", answer: func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusBadGateway) }},
		"10.0.0.5": {reason: "Nor one that hangs.", answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		"10.0.0.6": {reason: "Nor one that is not there."},
	}

	at := map[string]string{}

	for ip, tc := range cases {
		if tc.answer == nil {
			continue
		}

		s := httptest.NewServer(tc.answer)
		t.Cleanup(s.Close)

		at[net.JoinHostPort(ip, strconv.Itoa(monitorapi.Port))] = s.Listener.Addr().String()
	}

	w.client = &http.Client{Timeout: 200 * time.Millisecond, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if at[address] == "" {
				return nil, errUnreached
			}

			return new(net.Dialer).DialContext(ctx, network, at[address])
		},
	}}

	ips := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}
	got, _ := w.ages(t.Context(), ips)

	for i, ip := range ips {
		if diff := cmp.Diff(cases[ip].want, got[i]); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", cases[ip].reason, diff)
		}
	}

	over, cancel := context.WithCancel(t.Context())
	cancel()

	none, _ := w.ages(over, ips)
	if diff := cmp.Diff(make([]*time.Duration, len(ips)), none); diff != "" {
		t.Errorf("without time nobody says anything: -want, +got:\n%s", diff)
	}
}

func TestWorkers(t *testing.T) {
	pod := func(slot, ip string, phase corev1.PodPhase) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{}}, Status: corev1.PodStatus{Phase: phase, PodIP: ip}}
		if slot != "" {
			p.Annotations[monitorapi.AnnotationSlot] = slot
		}

		return p
	}

	cases := map[string]struct {
		reason string
		pods   []corev1.Pod
		bound  int32
		ips    []string
	}{
		"None":    {reason: "A pool may have none."},
		"Running": {reason: "Those that run have a slot and are asked.", pods: []corev1.Pod{pod("0", "10.0.0.1", corev1.PodRunning), pod("1", "10.0.0.2", corev1.PodRunning)}, bound: 2, ips: []string{"10.0.0.1", "10.0.0.2"}},
		"Gated":   {reason: "One that waits for a slot has none.", pods: []corev1.Pod{pod("", "", corev1.PodPending)}},
		"Pending": {reason: "One that begins has a slot, and nothing to say yet.", pods: []corev1.Pod{pod("0", "", corev1.PodPending)}, bound: 1},
		"Ended":   {reason: "One that has ended has left its slot to the next.", pods: []corev1.Pod{pod("0", "10.0.0.1", corev1.PodFailed), pod("0", "10.0.0.2", corev1.PodRunning), pod("1", "", corev1.PodSucceeded)}, bound: 1, ips: []string{"10.0.0.2"}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			bound, ips := workers(tc.pods)
			if diff := cmp.Diff(tc.ips, ips, cmpopts.EquateEmpty()); diff != "" || bound != tc.bound {
				t.Errorf("%s: %d are bound, want %d; asked are: -want, +got:\n%s", tc.reason, bound, tc.bound, diff)
			}
		})
	}
}
