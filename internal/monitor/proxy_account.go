package monitor

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitor/meter"
)

// What became of a request: the values of the outcome's label.
const (
	// outcomeOK is an answer that came whole, or of which the agent had all but the end when it went away.
	outcomeOK = "ok"
	// outcomeRejected is an answer that says that the request is wrong, and outcomeLimited one that says that it is too much.
	outcomeRejected = "rejected"
	outcomeLimited  = "limited"
	// outcomeFailed is an answer that says that the server failed, at once or midway; outcomeBroken one that broke off.
	outcomeFailed = "failed"
	outcomeBroken = "broken"
	// outcomeAborted is a request whose agent went away, and outcomeUnreachable one that got no answer.
	outcomeAborted     = "aborted"
	outcomeUnreachable = "unreachable"
	// outcomeOverBudget is a request that was not sent, for the budget.
	outcomeOverBudget = "over_budget"
	// outcomeUnmetered is a request to anything else than the APIs that are counted, whatever became of it.
	outcomeUnmetered = "unmetered"
)

// Why a good answer's usage did not come, where that is not the outcome's name: the server did not tell it, told what
// nobody understands, or compressed it in a way that cannot be read.
const (
	missingAbsent     = "absent"
	missingUnreadable = "unreadable"
	missingEncoding   = "encoding"
)

// answered is told when a good answer has been read, with the error where that ended.
func (c *call) answered(result meter.Result, err error) {
	switch {
	case errors.Is(err, io.EOF) && result.Failed:
		c.account(outcomeFailed, result)
	case errors.Is(err, io.EOF):
		c.account(outcomeOK, result)
	case err != nil && c.ctx.Err() == nil:
		c.account(outcomeBroken, result)
	case result.Told:
		// Some clients leave when they have read the last event.
		c.account(outcomeOK, result)
	default:
		c.account(outcomeAborted, result)
	}
}

// end accounts for a call of whose answer nothing was read.
func (c *call) end() {
	switch {
	case c.ended:
	case c.code != 0 && c.code/100 != 2:
		c.account(statusOutcome(c.code), meter.Result{})
	case c.passed && c.code != 0:
		c.account(outcomeOK, meter.Result{})
	case c.ctx.Err() != nil:
		c.account(outcomeAborted, meter.Result{})
	case c.code != 0:
		c.account(outcomeBroken, meter.Result{})
	default:
		c.account(outcomeUnreachable, meter.Result{})
	}
}

func statusOutcome(code int) string {
	switch {
	case code == http.StatusTooManyRequests:
		return outcomeLimited
	case code >= http.StatusInternalServerError:
		return outcomeFailed
	default:
		return outcomeRejected
	}
}

// account counts the call, once.
func (c *call) account(outcome string, result meter.Result) {
	if c.ended {
		return
	}

	c.ended = true
	m := c.proxy.metrics
	model := c.model()

	if result.Told {
		model = m.models.Billed(c.request.Model, result.Model)
	}

	m.request(outcome, model)

	took := time.Since(c.start)
	if outcome == outcomeOK {
		m.seconds.WithLabelValues(model).Observe(took.Seconds())
	}

	if !c.begun.IsZero() {
		m.firstToken.WithLabelValues(model).Observe(c.begun.Sub(c.start).Seconds())
	}

	switch {
	case result.Told:
		m.billed(model, result.Usage)
		c.proxy.cost.learn(c.request.API, c.extent, result.Usage)
	case c.code/100 == 2:
		m.missed(c.missing(outcome, result), model)
	}

	m.otel.observe(c.request, outcome, m.models.Asked(c.request.Model), model, took, result)
	c.settle(c.used(result))
}

// missing says why the usage of a good answer did not come.
func (c *call) missing(outcome string, result meter.Result) string {
	switch {
	case c.untold != "":
		return c.untold
	case result.Unreadable:
		return missingUnreadable
	case outcome == outcomeOK:
		return missingAbsent
	default:
		return outcome
	}
}

// used is what the call takes off the budget. A usage that did not come is taken to be what was estimated, because the
// model has worked: else a budget could be passed by hanging up. No counter has it.
func (c *call) used(result meter.Result) int64 {
	switch {
	case result.Told:
		return result.Usage.Input + result.Usage.Output
	case c.code/100 == 2, c.code == 0 && c.sent:
		return c.estimate
	default:
		return 0
	}
}

// model is the name to count under what was not billed.
func (c *call) model() string { return c.proxy.metrics.models.Known(c.request.Model) }

// refuse answers a request that the budget does not admit, in the way of the API that the agent speaks.
func refuse(rw http.ResponseWriter, api meter.API, err error) {
	code := http.StatusServiceUnavailable

	var over OverBudget
	if errors.As(err, &over) {
		code = http.StatusTooManyRequests

		rw.Header().Set("Retry-After", strconv.FormatInt(max(1, int64((over.Wait()+time.Second-1)/time.Second)), 10))
	}

	if api == meter.Messages {
		answer(rw, code, map[string]any{"type": "error", "error": map[string]any{"type": "rate_limit_error", "message": err.Error()}})

		return
	}

	answer(rw, code, map[string]any{"error": map[string]any{
		"type": "rate_limit_error", "code": "token_budget_exceeded", "param": nil, "message": err.Error(),
	}})
}
