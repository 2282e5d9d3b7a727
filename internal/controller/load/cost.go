package load

import (
	"fmt"
	"maps"
	"math/big"
	"strings"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// places is how many places behind the point a price and an amount have at most. A token's price has as many more, for prices are those of
// a million: so sums are exact.
const places = 6

// A cost is what a pool's tokens cost since there are prices. Like the total of the tokens it is the sum of what each worker's counters grew by,
// at the prices of that time.
type cost struct {
	// prices of a token in millionths of a millionth of the currency, nil for none.
	prices *prices
	// currency of the total, empty while there is none; and total in the same unit as prices.
	currency string
	total    *big.Int
	// counters are how far the tokens of each worker were added.
	counters map[string]v1alpha1.PricedTokens
}

type prices struct{ input, output, cached *big.Int }

// newCost returns a cost that goes on where a status says that it was.
func newCost(at v1alpha1.AgentScalerObservation) cost {
	c := cost{total: new(big.Int), counters: map[string]v1alpha1.PricedTokens{}}
	maps.Copy(c.counters, at.CostCounters)

	if at.Cost == nil {
		return c
	}

	if n, ok := decimal(at.Cost.Amount); ok {
		c.currency = at.Cost.Currency
		c.total.Mul(n, million)
	}

	return c
}

var million = big.NewInt(1_000_000)

// decimal returns a number with at most as many places as there may be, in units of the last of them.
func decimal(s string) (*big.Int, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if len(fraction) > places {
		return nil, false
	}

	n, ok := new(big.Int).SetString(whole+fraction+strings.Repeat("0", places-len(fraction)), 10)

	return n, ok && n.Sign() >= 0
}

// follow has what is used from now on cost what is asked for. What another currency was paid for is not added to: a new one begins at 0.
func (c *cost) follow(p *v1alpha1.TokenPrices) {
	c.prices = nil
	if p == nil {
		clear(c.counters)

		return
	}

	cached := p.CachedInputPerMillion
	if cached == "" {
		cached = p.InputPerMillion
	}

	var out prices

	var ok [3]bool
	out.input, ok[0] = decimal(p.InputPerMillion)
	out.output, ok[1] = decimal(p.OutputPerMillion)
	out.cached, ok[2] = decimal(cached)

	// The API takes no others.
	if ok != [3]bool{true, true, true} {
		return
	}

	c.prices = &out
	if c.currency != p.Currency {
		c.currency, c.total = p.Currency, new(big.Int)
	}
}

// add adds what a worker has used since its counters were added, of which its tokens had been counted to before. What was counted before
// there were prices costs nothing.
func (c *cost) add(id string, s monitorapi.Tokens, before int64, counted bool) {
	if c.prices == nil {
		return
	}

	was, priced := c.counters[id]
	is := v1alpha1.PricedTokens{Output: max(was.Output, s.Output), Cached: max(was.Cached, s.Cached)}
	c.counters[id] = is

	if counted && !priced {
		return
	}

	output, cached := is.Output-was.Output, is.Cached-was.Cached
	input := max(0, s.Input-(before-was.Output)-cached)

	c.total.Add(c.total, new(big.Int).Mul(big.NewInt(input), c.prices.input))
	c.total.Add(c.total, new(big.Int).Mul(big.NewInt(output), c.prices.output))
	c.total.Add(c.total, new(big.Int).Mul(big.NewInt(cached), c.prices.cached))
}

// told returns the cost as the status tells it, nil while there is none. What is less than its last place is kept here.
func (c *cost) told() *v1alpha1.TokenCost {
	if c.currency == "" {
		return nil
	}

	whole, fraction := new(big.Int).DivMod(new(big.Int).Quo(c.total, million), million, new(big.Int))

	return &v1alpha1.TokenCost{Amount: fmt.Sprintf("%s.%06d", whole, fraction), Currency: c.currency}
}
