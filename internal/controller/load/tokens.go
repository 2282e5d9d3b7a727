package load

import (
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

// tokens are what a pool has used since its scaler is there. The total is the sum of what each worker's counter grew by, and is kept
// with how far each counter was added: so none is added twice, whoever goes on with it. What a worker uses between the last look at
// it and its end is not in it.
type tokens struct {
	total    int64
	known    bool
	counters map[string]int64
	// cost is what they cost.
	cost cost
	// used are the tokens of the last minute, by when they were seen.
	used []use
}

type use struct {
	at time.Time
	n  int64
}

// newTokens returns tokens that go on where a status says that they were.
func newTokens(at v1alpha1.AgentScalerObservation) tokens {
	t := tokens{counters: map[string]int64{}, cost: newCost(at)}
	maps.Copy(t.counters, at.TokenCounters)

	if at.TokenUsage != nil {
		t.total, t.known = *at.TokenUsage, true
	}

	return t
}

// identity names a worker's counter: its monitor's, which begins at 0 whenever the monitor starts.
func identity(s monitorapi.Status) string {
	return s.Pod + "/" + strconv.FormatInt(s.StartedAt.Unix(), 36)
}

// add adds what workers have used since they were last seen, and forgets the counters of those that are gone. Which are there is
// known only of those that answered or may yet.
func (t *tokens) add(now time.Time, answers []monitorapi.Status, pods map[string]bool) {
	var grown int64

	for _, s := range answers {
		if s.Tokens == nil {
			continue
		}

		id, n := identity(s), s.Tokens.Input+s.Tokens.Output
		before, counted := t.counters[id]
		grown += max(0, n-before)
		t.cost.add(id, *s.Tokens, before, counted)
		t.counters[id] = max(n, before)
		t.known = true
	}

	maps.DeleteFunc(t.counters, func(id string, _ int64) bool { return !pods[podOf(id)] })
	maps.DeleteFunc(t.cost.counters, func(id string, _ v1alpha1.PricedTokens) bool { return !pods[podOf(id)] })
	t.grow(now, grown)
}

// gateway is the identity of a gateway's counter.
const gateway = "gateway"

// bill adds what a gateway has counted since it was last asked. What it had counted before the pool was known is not the pool's total,
// but where its counter begins. One that is smaller than it was begins there, too: it is mostly the sum of several gateways, of which
// one began anew, and to take all of it for new would count again what the others have counted long ago.
func (t *tokens) bill(now time.Time, r scale.Reading) {
	if r.Unknown != "" || math.IsNaN(r.Value) || r.Value < 0 || r.Value > 1<<62 {
		return
	}

	n := int64(r.Value)
	before, seen := t.counters[gateway]

	var grown int64
	if seen {
		grown = max(0, n-before)
	}

	t.counters, t.known = map[string]int64{gateway: n}, true
	t.grow(now, grown)
}

// reading returns the tokens of the last minute, if the gateway's counter is known.
func (t *tokens) reading(r scale.Reading) scale.Reading {
	if r.Unknown != "" {
		return r
	}

	return scale.Reading{Value: float64(t.perMinute()), At: r.At}
}

// grow adds to the total, and to the last minute.
func (t *tokens) grow(now time.Time, grown int64) {
	t.total += grown
	kept := t.used[:0]

	for _, u := range t.used {
		if now.Sub(u.at) < time.Minute {
			kept = append(kept, u)
		}
	}

	t.used = kept
	if grown > 0 {
		t.used = append(t.used, use{at: now, n: grown})
	}
}

// perMinute returns the tokens of the last minute.
func (t *tokens) perMinute() (n int64) {
	for _, u := range t.used {
		n += u.n
	}

	return n
}

func podOf(id string) string {
	for i := range id {
		if id[i] == '/' {
			return id[:i]
		}
	}

	return id
}
