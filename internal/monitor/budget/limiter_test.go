package budget

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func limiter(t *testing.T, share string) *Limiter {
	t.Helper()

	l, err := New("pool", share, 30*time.Second, time.Now)
	if err != nil {
		t.Fatal(err)
	}

	return l
}

// Eight workers ask without end, by requests whose estimates are wrong by half: each uses its share in a minute, and the pool
// what they have together, within 5 %.
func TestMinuteStaysWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		shares := []string{"6000", "12000", "12000", "6000", "24000", "30000", "18000", "12000"}
		want := []int64{6000, 12000, 12000, 6000, 24000, 30000, 18000, 12000}

		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			used = make([]int64, len(shares))
		)

		for i, share := range shares {
			l := limiter(t, share)

			for range 3 {
				wg.Go(func() {
					for {
						settle, err := l.Admit(ctx, 20)
						if err != nil {
							return
						}

						mu.Lock()
						used[i] += 30
						mu.Unlock()
						settle(30)
					}
				})
			}
		}

		// The first minute spends what was saved up, which is none: a worker starts with an empty bucket.
		for minute := range 3 {
			time.Sleep(time.Minute)
			synctest.Wait()

			mu.Lock()
			var sum, budget int64

			for i := range used {
				sum, budget = sum+used[i], budget+want[i]

				if diff := used[i] - want[i]; diff*20 > want[i] || -diff*20 > want[i] {
					t.Errorf("minute %d: worker %d used %d tokens of %d", minute, i, used[i], want[i])
				}

				used[i] = 0
			}
			mu.Unlock()

			if diff := sum - budget; diff*20 > budget || -diff*20 > budget {
				t.Errorf("minute %d: the pool used %d tokens of %d", minute, sum, budget)
			}
		}

		cancel()
		wg.Wait()
	})
}

func TestAdmit(t *testing.T) {
	cases := map[string]struct {
		reason   string
		share    string
		idle     time.Duration
		estimate int64
		// change is the share that comes after a second; empty for none.
		change  string
		want    time.Duration
		refused bool
	}{
		"NoBudget":  {reason: "Without a budget nothing waits.", estimate: 1 << 40},
		"SavedUp":   {reason: "What was saved up is there at once.", share: "6000", idle: time.Minute, estimate: 300},
		"Waits":     {reason: "100 tokens take a second at 6,000 a minute.", share: "6000", estimate: 100, want: time.Second},
		"Large":     {reason: "What never fits is sent when all is there that can be: 3 s of the share.", share: "6000", estimate: 1 << 40, want: 3 * time.Second},
		"Zero":      {reason: "With a share of 0 nothing passes.", share: "0", estimate: 1, want: 30 * time.Second, refused: true},
		"Granted":   {reason: "A share that comes lets the waiting pass.", share: "0", estimate: 100, change: "6000", want: 2 * time.Second},
		"Raised":    {reason: "What came at the old share is kept.", share: "600", estimate: 30, change: "60000", want: time.Second + 20*time.Millisecond},
		"Withdrawn": {reason: "A share that is taken away stops who waits for it.", share: "600", estimate: 30, change: "0", want: 30 * time.Second, refused: true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := limiter(t, tc.share)
				time.Sleep(tc.idle)

				var wg sync.WaitGroup
				if tc.change != "" {
					wg.Go(func() {
						time.Sleep(time.Second)

						if err := l.SetShare(tc.change); err != nil {
							t.Error(err)
						}
					})
				}

				start := time.Now()
				_, err := l.Admit(t.Context(), tc.estimate)

				if diff := time.Since(start) - tc.want; diff < 0 || diff > time.Millisecond {
					t.Errorf("%s\nwaited %s, want %s", tc.reason, time.Since(start), tc.want)
				}

				var over *Refused
				if errors.As(err, &over) != tc.refused || err != nil && !tc.refused {
					t.Errorf("%s\nerror %v, refused %v", tc.reason, err, tc.refused)
				}

				if over != nil && over.Wait() < time.Second {
					t.Errorf("%s\ncome back in %s", tc.reason, over.Wait())
				}

				wg.Wait()
			})
		})
	}
}

// Debt is paid by those who come later, and a client that goes away gives its place to the next.
func TestDebtAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter(t, "6000")
		time.Sleep(time.Minute)

		settle, err := l.Admit(t.Context(), 300)
		if err != nil {
			t.Fatal(err)
		}

		settle(800)

		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)

		go func() {
			_, err := l.Admit(ctx, 300)
			gone <- err
		}()

		synctest.Wait()

		start, passed := time.Now(), make(chan time.Duration)

		go func() {
			_, _ = l.Admit(t.Context(), 100)
			passed <- time.Since(start)
		}()

		synctest.Wait()

		want := &monitorapi.Budget{TokensPerMinute: 6000, Waiting: 2, HeldBack: 2, WaitingTokens: 400}
		if diff := cmp.Diff(want, l.Budget()); diff != "" {
			t.Errorf("Budget(): -want, +got:\n%s", diff)
		}

		cancel()

		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the client that went away got %v", err)
		}

		// 500 owed and 100 wanted.
		if d := <-passed; d < 6*time.Second || d > 6*time.Second+time.Millisecond {
			t.Errorf("the next one waited %s, want 6s", d)
		}
	})
}

func TestSetShare(t *testing.T) {
	l := limiter(t, "600")

	for _, bad := range []string{"-1", "many", "1.5", " 1"} {
		if err := l.SetShare(bad); err == nil {
			t.Errorf("SetShare(%q): no error", bad)
		}
	}

	if diff := cmp.Diff(&monitorapi.Budget{TokensPerMinute: 600}, l.Budget()); diff != "" {
		t.Errorf("a share that cannot be read changes nothing: -want, +got:\n%s", diff)
	}
}

// A small request does not overtake a large one, for else the large one would never be sent.
func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter(t, "6000")

		var (
			wg    sync.WaitGroup
			order []int64
		)

		// One after the other: the second comes when there is enough for it, and not for the first.
		for _, estimate := range []int64{250, 10} {
			wg.Go(func() {
				if _, err := l.Admit(t.Context(), estimate); err != nil {
					t.Error(err)
				}

				l.mu.Lock()
				defer l.mu.Unlock()

				order = append(order, estimate)
			})

			time.Sleep(time.Second)
		}

		wg.Wait()

		if diff := cmp.Diff([]int64{250, 10}, order); diff != "" {
			t.Errorf("the order in which they passed: -want, +got:\n%s", diff)
		}
	})
}
