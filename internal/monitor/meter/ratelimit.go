package meter

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// A Limit is what a server told of one of its rate limits.
type Limit struct {
	// Resource is requests, tokens, input_tokens or output_tokens.
	Resource string
	// Field is limit, remaining or reset_seconds.
	Field string
	Value float64
}

var limited = []struct{ resource, openAI, anthropic string }{
	{"requests", "Requests", "Requests"},
	{"tokens", "Tokens", "Tokens"},
	{"input_tokens", "", "Input-Tokens"},
	{"output_tokens", "", "Output-Tokens"},
}

// RateLimits reads the rate limits in an answer's headers, in the form of OpenAI (X-Ratelimit-Remaining-Tokens, resets as
// durations) and in that of Anthropic (Anthropic-Ratelimit-Tokens-Remaining, resets as points in time). Get returns the value
// of a header by its canonical name. What cannot be read is left out.
func RateLimits(get func(string) string, now time.Time) []Limit {
	var out []Limit

	add := func(resource, field, value string, read func(string) (float64, bool)) {
		if value == "" {
			// As most are: the errors of what reads them would be most of the work.
			return
		}

		if v, ok := read(strings.TrimSpace(value)); ok {
			out = append(out, Limit{resource, field, v})
		}
	}

	until := func(s string) (float64, bool) {
		at, err := time.Parse(time.RFC3339, s)

		return max(0, at.Sub(now).Seconds()), err == nil
	}

	for _, l := range limited {
		if l.openAI != "" {
			add(l.resource, "limit", get("X-Ratelimit-Limit-"+l.openAI), number)
			add(l.resource, "remaining", get("X-Ratelimit-Remaining-"+l.openAI), number)
			add(l.resource, "reset_seconds", get("X-Ratelimit-Reset-"+l.openAI), seconds)
		}

		add(l.resource, "limit", get("Anthropic-Ratelimit-"+l.anthropic+"-Limit"), number)
		add(l.resource, "remaining", get("Anthropic-Ratelimit-"+l.anthropic+"-Remaining"), number)
		add(l.resource, "reset_seconds", get("Anthropic-Ratelimit-"+l.anthropic+"-Reset"), until)
	}

	return out
}

func number(s string) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)

	return v, err == nil && v >= 0 && !math.IsInf(v, 0) && !math.IsNaN(v)
}

// seconds reads a duration such as 6m0s or 17ms, or a plain number of seconds.
func seconds(s string) (float64, bool) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return d.Seconds(), true
	}

	return number(s)
}
