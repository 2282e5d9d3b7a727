package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func decode(t *testing.T, r io.Reader, into any) {
	t.Helper()

	if err := json.NewDecoder(r).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func TestAsk(t *testing.T) {
	const (
		good   = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\ndata:{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n"
		cut    = "data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n"
		failed = "data: {\"error\":{\"message\":\"overloaded\"}}\n\n"
	)

	type reply struct {
		code  int
		after string
		body  string
	}

	cases := map[string]struct {
		reason string
		// replies are given one after another, the last of them for ever.
		replies []reply
		want    string
		says    string
		asked   int
	}{
		"Good":        {reason: "A stream is put together.", replies: []reply{{200, "", good}}, want: "a", asked: 1},
		"Busy":        {reason: "A model that is busy is asked anew.", replies: []reply{{429, "", "slow down"}, {503, "", ""}, {200, "", good}}, want: "a", asked: 3},
		"Cut":         {reason: "Half an answer is none.", replies: []reply{{200, "", cut}, {200, "", good}}, want: "a", asked: 2},
		"FailsWithin": {reason: "A stream can tell of a failure, too.", replies: []reply{{200, "", failed}, {200, "", good}}, want: "a", asked: 2},
		"GivesUp":     {reason: "It is not asked for ever.", replies: []reply{{500, "", "broken"}}, says: "500 Internal Server Error: broken", asked: attempts},
		"Refused":     {reason: "What is refused once is refused again.", replies: []reply{{401, "", "no key"}}, says: "no key", asked: 1},
		"NoJSON":      {reason: "Nonsense is not guessed at.", replies: []reply{{200, "", "data: x\n\n"}}, says: "cannot read the model's answer", asked: 1},
		"WaitsAtMost": {reason: "A model does not make a task wait for a day.", replies: []reply{{429, "86400", ""}, {200, "", good}}, want: "a", asked: 2},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				r := tc.replies[min(asked, len(tc.replies)-1)]
				asked++

				rw.Header().Set("Retry-After", r.after)
				rw.WriteHeader(r.code)
				fmt.Fprint(rw, r.body)
			}))
			defer srv.Close()

			m := newModel(config{modelURL: srv.URL + "/", patience: time.Minute})
			m.firstWait, m.maxWait = time.Millisecond, 5*time.Millisecond

			got, err := m.ask(t.Context(), []turn{{Role: "user", Content: "x", Task: "not sent"}})
			if got != tc.want || (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) || asked != tc.asked {
				t.Errorf("\n%s\nask(...): %q, %v after %d times, want %q, %q after %d", tc.reason, got, err, asked, tc.want, tc.says, tc.asked)
			}
		})
	}
}

// A model that says nothing is given up, and an agent that ends does not wait for one.
func TestAskIsBounded(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))

	defer srv.Close()
	defer close(release)

	m := newModel(config{modelURL: srv.URL, patience: time.Millisecond})
	m.firstWait, m.maxWait = time.Millisecond, time.Millisecond

	if _, err := m.ask(t.Context(), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent model: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	m.firstWait, m.maxWait = time.Hour, time.Hour
	if _, err := m.ask(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("an agent that ends: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	got := map[string]time.Duration{}
	for _, s := range []string{"", "x", "7", at.Add(9 * time.Second).Format(http.TimeFormat)} {
		got[s] = retryAfter(s, at)
	}

	want := map[string]time.Duration{"": 0, "x": 0, "7": 7 * time.Second, at.Add(9 * time.Second).Format(http.TimeFormat): 9 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("retryAfter(...): -want, +got:\n%s", diff)
	}
}

func TestChatRequest(t *testing.T) {
	b, err := json.Marshal(chatRequest("m", []turn{{Role: "user", Content: "x", Task: "t"}}))
	if diff := cmp.Diff(`{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}`, string(b)); err != nil || diff != "" {
		t.Errorf("chatRequest(...): %v, -want, +got:\n%s", err, diff)
	}
}
