package inbound

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whatever an agent's tasks do without a word, and whatever of it is told: a task that has not ended is never left out; one that
// is worked on is in flight half a second after its last word; and what has not changed for five seconds is counted as it is.
// That holds of as many tasks as are asked for at once.
func TestTallyIsTrue(t *testing.T) {
	names := map[state]string{submitted: "TASK_STATE_SUBMITTED", working: "TASK_STATE_WORKING", waiting: "TASK_STATE_INPUT_REQUIRED", ended: "TASK_STATE_COMPLETED"}

	rapid.Check(t, func(t *rapid.T) {
		clock, truth, order := time.Unix(0, 0), map[string]state{}, []string{}
		tally := &Tally{target: &url.URL{Scheme: "http", Host: "agent"}, now: func() time.Time { return clock }, tasks: map[string]*task{}, room: &room{}}
		tally.client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			id := path.Base(r.URL.Path)
			body := fmt.Sprintf(`{"id":%q,"status":{"state":%q}}`, id, names[truth[id]])

			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
		})}

		isTrue := func() tallied {
			var c tallied

			for _, s := range truth {
				switch s {
				case submitted:
					c.Unfinished++
				case working:
					c.Unfinished, c.InFlight = c.Unfinished+1, c.InFlight+1
				case waiting:
					c.Waits++
				case ended:
				}
			}

			return c
		}
		alive := func() []string {
			return slices.DeleteFunc(slices.Clone(order), func(id string) bool { return truth[id] == ended })
		}
		drawState := func(t *rapid.T) state {
			return rapid.SampledFrom([]state{submitted, working, waiting, ended}).Draw(t, "state")
		}

		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				got, is := countOf(t.Context(), tally), isTrue()
				if got.Unfinished+got.Waits < is.Unfinished+is.Waits {
					t.Fatalf("%+v are counted, of %+v", got, is)
				}
			},
			"begin": func(t *rapid.T) {
				if len(tally.tasks) == mostAsked {
					t.Skip("no more are asked for at once")
				}

				id := fmt.Sprint("t", len(order))
				order, truth[id] = append(order, id), drawState(t)
				tally.hear(id, truth[id], origin{})
			},
			"move": func(t *rapid.T) {
				if ids := alive(); len(ids) > 0 {
					truth[rapid.SampledFrom(ids).Draw(t, "id")] = drawState(t)
				}
			},
			"tell": func(t *rapid.T) {
				if len(order) > 0 {
					id := rapid.SampledFrom(order).Draw(t, "id")
					tally.hear(id, truth[id], origin{})
				}
			},
			"pass": func(t *rapid.T) {
				clock = clock.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond)
			},
			"soon": func(t *rapid.T) {
				clock = clock.Add(askIdleAfter)
				if got, is := countOf(t.Context(), tally), isTrue(); got.InFlight < is.InFlight {
					t.Fatalf("after half a second %+v are counted, of %+v", got, is)
				}
			},
			"later": func(t *rapid.T) {
				clock = clock.Add(askAfter)
				if diff := cmp.Diff(isTrue(), countOf(t.Context(), tally)); diff != "" {
					t.Fatalf("-true, +counted:\n%s", diff)
				}
			},
		})
	})
}
