package meter

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestModels(t *testing.T) {
	var m Models

	if got := m.Known("gpt-4o"); got != Other {
		t.Errorf("a name that was only asked for counts as %q", got)
	}

	if got := m.Billed("gpt-4o", "gpt-4o-2024-08-06"); got != "gpt-4o-2024-08-06" {
		t.Errorf("the name that was billed counts as %q", got)
	}

	if got := m.Known("gpt-4o"); got != "gpt-4o-2024-08-06" {
		t.Errorf("what is asked for counts as %q once it was billed", got)
	}

	for asked, want := range map[string]string{"gpt-4o": "gpt-4o", "gpt-4o-2024-08-06": "gpt-4o-2024-08-06", "gpt-5": Other} {
		if got := m.Asked(asked); got != want {
			t.Errorf("%q is asked for as %q, want %q", asked, got, want)
		}
	}

	if got := m.Billed("plain", ""); got != "plain" {
		t.Errorf("an answer without a name counts as %q", got)
	}

	for i := range 100 {
		m.Billed("", fmt.Sprint(i))
	}

	if a, b, c := m.Billed("", "13"), m.Billed("", "14"), m.Billed("", "plain"); a != "13" || b != Other || c != "plain" {
		t.Errorf("after %d names: %q, %q, %q", MaxModels, a, b, c)
	}
}

func TestRateLimits(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cases := map[string]struct {
		reason string
		header map[string]string
		want   []Limit
	}{
		"OpenAI": {
			reason: "Resets are durations.",
			header: map[string]string{"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-reset-requests": "17ms"},
			want:   []Limit{{"requests", "limit", 60}, {"requests", "reset_seconds", 0.017}, {"tokens", "remaining", 149984}, {"tokens", "reset_seconds", 360}},
		},
		"Anthropic": {
			reason: "Resets are points in time.",
			header: map[string]string{
				"anthropic-ratelimit-tokens-limit": "80000", "anthropic-ratelimit-input-tokens-remaining": "100", "anthropic-ratelimit-requests-reset": "2026-01-02T03:04:35Z",
				"anthropic-ratelimit-output-tokens-reset": "2026-01-02T03:04:00Z",
			},
			want: []Limit{{"requests", "reset_seconds", 30}, {"tokens", "limit", 80000}, {"input_tokens", "remaining", 100}, {"output_tokens", "reset_seconds", 0}},
		},
		"Unreadable": {
			reason: "What is no figure is left out.",
			header: map[string]string{"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-limit-tokens": "NaN", "anthropic-ratelimit-tokens-reset": "soon"},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			for k, v := range tc.header {
				h.Set(k, v)
			}

			if diff := cmp.Diff(tc.want, RateLimits(h.Get, now)); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
