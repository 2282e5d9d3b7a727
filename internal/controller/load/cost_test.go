package load

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func priced(input, output, cached string) *v1alpha1.TokenPrices {
	return &v1alpha1.TokenPrices{Currency: "USD", InputPerMillion: input, OutputPerMillion: output, CachedInputPerMillion: cached}
}

func used(pod string, input, output, cached int64) monitorapi.Status {
	return monitorapi.Status{Pod: pod, StartedAt: now, Tokens: &monitorapi.Tokens{Input: input, Output: output, Cached: cached}}
}

func TestCost(t *testing.T) {
	here := map[string]bool{"a": true, "b": true}

	cases := map[string]struct {
		reason string
		seen   v1alpha1.AgentScalerObservation
		prices []*v1alpha1.TokenPrices
		looks  []monitorapi.Status
		want   *v1alpha1.TokenCost
	}{
		"Nobody knows": {
			reason: "Without prices there is no cost.",
			prices: []*v1alpha1.TokenPrices{nil}, looks: []monitorapi.Status{used("a", 1e6, 1e6, 0)},
		},
		"Kinds": {
			reason: "Cached is a part of the input, at a price of its own.",
			prices: []*v1alpha1.TokenPrices{priced("2.50", "10", "1.25")}, looks: []monitorapi.Status{used("a", 1e6, 1e6, 4e5)},
			want: &v1alpha1.TokenCost{Amount: "12.000000", Currency: "USD"},
		},
		"Uncached": {
			reason: "Where nothing is said of it, it costs what the rest does.",
			prices: []*v1alpha1.TokenPrices{priced("2.50", "10", "")}, looks: []monitorapi.Status{used("a", 1e6, 1e6, 4e5)},
			want: &v1alpha1.TokenCost{Amount: "12.500000", Currency: "USD"},
		},
		"Growth": {
			reason: "What grew is added, of each worker.",
			prices: []*v1alpha1.TokenPrices{priced("1", "2", "")},
			looks:  []monitorapi.Status{used("a", 10, 5, 0), used("b", 7, 0, 7), used("a", 15, 5, 2), used("a", 15, 6, 2)},
			want:   &v1alpha1.TokenCost{Amount: "0.000034", Currency: "USD"},
		},
		"Raised": {
			reason: "What was used before a price changed costs what it did.",
			prices: []*v1alpha1.TokenPrices{priced("1", "1", ""), priced("3", "3", "")},
			looks:  []monitorapi.Status{used("a", 1e6, 0, 0), used("a", 2e6, 0, 0)},
			want:   &v1alpha1.TokenCost{Amount: "4.000000", Currency: "USD"},
		},
		"Late": {
			reason: "What was counted before there were prices costs nothing, and what comes then does.",
			prices: []*v1alpha1.TokenPrices{nil, priced("1", "1", ""), priced("1", "1", "")},
			looks:  []monitorapi.Status{used("a", 1e6, 0, 0), used("a", 2e6, 0, 0), used("a", 2e6, 3e6, 0)},
			want:   &v1alpha1.TokenCost{Amount: "3.000000", Currency: "USD"},
		},
		"Resumed": {
			reason: "Another provider goes on with what the status tells.",
			seen: v1alpha1.AgentScalerObservation{
				Cost: &v1alpha1.TokenCost{Amount: "41.500000", Currency: "USD"}, TokenCounters: map[string]int64{identity(used("a", 0, 0, 0)): 1e6},
				CostCounters: map[string]v1alpha1.PricedTokens{identity(used("a", 0, 0, 0)): {Output: 4e5}},
			},
			prices: []*v1alpha1.TokenPrices{priced("1", "10", "")}, looks: []monitorapi.Status{used("a", 7e5, 5e5, 0)},
			want: &v1alpha1.TokenCost{Amount: "42.600000", Currency: "USD"},
		},
		"Currency": {
			reason: "Amounts of two currencies are not added.",
			seen:   v1alpha1.AgentScalerObservation{Cost: &v1alpha1.TokenCost{Amount: "41.500000", Currency: "EUR"}},
			prices: []*v1alpha1.TokenPrices{priced("1", "10", "")}, looks: []monitorapi.Status{used("a", 1e6, 0, 0)},
			want: &v1alpha1.TokenCost{Amount: "1.000000", Currency: "USD"},
		},
		"Large": {
			reason: "No sum is too large.",
			prices: []*v1alpha1.TokenPrices{priced("999999.999999", "0", "")}, looks: []monitorapi.Status{used("a", 1e15, 0, 0)},
			want: &v1alpha1.TokenCost{Amount: "999999999999000.000000", Currency: "USD"},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			sum := newTokens(tc.seen)

			for i, s := range tc.looks {
				sum.cost.follow(tc.prices[min(i, len(tc.prices)-1)])
				sum.add(now, []monitorapi.Status{s}, here)
			}

			if diff := cmp.Diff(tc.want, sum.cost.told()); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// The sum is exact, whoever goes on with it: but for what is less than a millionth each time.
func TestCostHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := priced("2.50", "10.000001", "0.3")
		sum := newTokens(v1alpha1.AgentScalerObservation{})
		sum.cost.follow(p)

		var in, out, cached, resumed int64

		for range rapid.IntRange(1, 30).Draw(t, "looks") {
			if rapid.IntRange(0, 3).Draw(t, "resumed") == 0 {
				resumed++
				sum = newTokens(v1alpha1.AgentScalerObservation{TokenUsage: &sum.total, TokenCounters: sum.counters, Cost: sum.cost.told(), CostCounters: sum.cost.counters})
				sum.cost.follow(p)
			}

			c := rapid.Int64Range(0, 1e6).Draw(t, "cached")
			in, out, cached = in+c+rapid.Int64Range(0, 1e6).Draw(t, "input"), out+rapid.Int64Range(0, 1e6).Draw(t, "output"), cached+c
			sum.add(now.Add(time.Second), []monitorapi.Status{used("a", in, out, cached)}, map[string]bool{"a": true})
		}

		exact := new(big.Int).Add(new(big.Int).Mul(big.NewInt(in-cached), big.NewInt(2_500_000)), new(big.Int).Mul(big.NewInt(out), big.NewInt(10_000_001)))
		exact.Add(exact, new(big.Int).Mul(big.NewInt(cached), big.NewInt(300_000)))

		got, ok := decimal(sum.cost.told().Amount)
		if lost := new(big.Int).Sub(exact.Quo(exact, million), got); !ok || lost.Sign() < 0 || lost.Cmp(big.NewInt(resumed+1)) > 0 {
			t.Fatalf("%s, and exactly %d millionths, resumed %d times", sum.cost.told().Amount, exact, resumed)
		}

		if sum.total != in+out || strings.Count(fmt.Sprint(sum.cost.counters), "a/") != 1 {
			t.Fatalf("%d tokens, %v", sum.total, sum.cost.counters)
		}

		sum.add(now, nil, nil)

		if len(sum.cost.counters) != 0 {
			t.Fatalf("counters of a worker that is gone are kept: %v", sum.cost.counters)
		}
	})
}
