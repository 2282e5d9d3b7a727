package main

import (
	"fmt"
	"strings"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// How soon somebody should look: critical is now, warning is today.
const (
	critical = "critical"
	warning  = "warning"
)

// Where the recipe for each alert is, under a heading with the alert's name.
const runbooks = "https://github.com/southwest-ai/agent-operator/blob/main/docs/operations.md#"

// An alert is a condition that somebody should do something about.
type alert struct {
	name, expr, lasting, severity string
	// summary says in a line what is wrong and where; description adds the figure. Both are Prometheus' templates.
	summary, description string
}

// pool and repository name what an alert is about.
const (
	pool       = "pool {{ $labels.namespace }}/{{ $labels.dispatcher }}"
	repository = "pool {{ $labels.namespace }}/{{ $labels.checkpoint }}"
)

func alertRules(alerts []alert) []rule {
	out := make([]rule, 0, len(alerts))
	for _, a := range alerts {
		out = append(out, rule{
			Alert: a.name, Expr: a.expr, For: a.lasting, Labels: map[string]string{"severity": a.severity},
			Annotations: map[string]string{"summary": a.summary, "description": a.description, "runbook_url": runbooks + strings.ToLower(a.name)},
		})
	}

	return out
}

// poolAlerts are about pools that serve badly.
func poolAlerts() []alert {
	requests := fmt.Sprintf("sum %s (%s)", byPool, poolRequests)
	share := func(outcome string) string {
		return fmt.Sprintf(`sum %s (%s{%s}) / %s`, byPool, poolRequests, outcome, requests)
	}

	return []alert{{
		name: "AIDispatcherBacklog", severity: warning, lasting: "15m",
		expr:        fmt.Sprintf("%s / %s > 20", poolDepth, workers),
		summary:     "The " + pool + " does not keep up with its tasks.",
		description: "There are {{ $value | humanize }} unfinished tasks for each worker, for 15 minutes.",
	}, {
		// A role whose tasks nobody observes is never known. Only what was known within a day has become unknown.
		name: "AIDispatcherTasksUnknown", severity: warning, lasting: "10m",
		expr:        fmt.Sprintf("(%s - %s > 0) and (max_over_time(%s[1d]) > 0)", workers, workersKnown, workersKnown),
		summary:     "The load of workers of the " + pool + " is not known.",
		description: "{{ $value }} workers could not read their agent's tasks for 10 minutes. The pool is not made smaller meanwhile.",
	}, {
		name: "AIDispatcherModelFailing", severity: critical, lasting: "10m",
		expr:        fmt.Sprintf("(%s) > 0.1", share(failedOutcome)),
		summary:     "The model server fails the " + pool + ".",
		description: "{{ $value | humanizePercentage }} of the requests failed, broke off or got no answer, for 10 minutes.",
	}, {
		name: "AIDispatcherModelLimited", severity: warning, lasting: "10m",
		expr:        fmt.Sprintf("(%s) > 0.1", share(`outcome="limited"`)),
		summary:     "The model server's rate limit slows the " + pool + " down.",
		description: "{{ $value | humanizePercentage }} of the requests were refused as too many, for 10 minutes. More workers do not help.",
	}, {
		name: "AIDispatcherUsageMissing", severity: warning, lasting: "15m",
		expr: fmt.Sprintf(`(sum %s (rate(%s{reason=~"absent|unreadable|encoding"}[5m])) / %s) > 0.05`,
			byPool, monitorapi.MetricUsageMissing, requests),
		summary:     "The token counts of the " + pool + " are too low.",
		description: "The model server told no usage for {{ $value | humanizePercentage }} of the requests. Their tokens are in no count.",
	}, {
		name: "AIDispatcherOverBudget", severity: warning, lasting: "10m",
		expr:        fmt.Sprintf("(%s) > 0.05", share(`outcome="over_budget"`)),
		summary:     "The token budget of the " + pool + " holds requests back.",
		description: "{{ $value | humanizePercentage }} of the requests waited for the budget in vain, for 10 minutes.",
	}, {
		name: "AIDispatcherDrainStuck", severity: warning, lasting: "5m",
		expr:        fmt.Sprintf("count %s (%s)", byPool, ofPool("min_over_time("+monitorapi.MetricDraining+"[1h]) > 0")),
		summary:     "A worker of the " + pool + " has been draining for an hour.",
		description: "{{ $value }} workers take no new tasks and do not end.",
	}, {
		name: "AIDispatcherPushFailing", severity: warning, lasting: "15m",
		expr:        fmt.Sprintf(`sum %s (%s) > 0`, byPool, ofPool("increase("+monitorapi.MetricPushDropped+"[15m])")),
		summary:     "Figures of the " + pool + " are refused by the server they are written to.",
		description: "{{ $value | humanize }} samples were dropped in 15 minutes.",
	}}
}

// sizeAlerts are about pools that have not the size they should.
func sizeAlerts() []alert {
	return []alert{{
		name: "AIDispatcherTooFewWorkers", severity: warning, lasting: "15m",
		expr:        fmt.Sprintf("%s - %s > 0", poolWanted, poolAsked),
		summary:     "The " + pool + " does not get the size that its load wants.",
		description: "It lacks {{ $value }} workers that were decided upon, for 15 minutes.",
	}, {
		name: "AIDispatcherWorkersMissing", severity: warning, lasting: "15m",
		expr:        fmt.Sprintf("%s - %s > 0", poolAsked, workers),
		summary:     "Workers of the " + pool + " do not come up.",
		description: "{{ $value }} workers were asked for and tell nothing, for 15 minutes.",
	}, {
		name: "AIDispatcherScaleInHeld", severity: warning, lasting: "1h",
		expr:        poolHeld + " > 0",
		summary:     "The " + pool + " may not be made smaller.",
		description: "There have been reasons against removing a worker for an hour, {{ $value }} now.",
	}}
}

// stateAlerts are about state that may be lost.
func stateAlerts() []alert {
	saves := func(outcome string) string {
		return fmt.Sprintf("increase(%s{outcome=~%q}[15m]) > 0", monitorapi.MetricCheckpoints, outcome)
	}

	return []alert{{
		name: "AIDispatcherCheckpointsFail", severity: critical, lasting: "5m",
		expr: fmt.Sprintf("count %s (%s)", byPool,
			ofPool(fmt.Sprintf("%s unless %s (%s)", saves("failed"), byWorker, saves("saved|unchanged")))),
		summary:     "Workers of the " + pool + " cannot save their state.",
		description: "{{ $value }} workers have failed to save for 15 minutes. What they did since is lost if they die now.",
	}, {
		name: "AIDispatcherWorkerFenced", severity: warning, lasting: "0m",
		expr:        fmt.Sprintf("count %s (%s)", byPool, ofPool(saves("fenced"))),
		summary:     "A worker of the " + pool + " lost its slot to another and runs on.",
		description: "{{ $value }} workers are fenced: nothing of what they do is kept.",
	}, {
		name: "AIDispatcherCheckpointCorrupt", severity: critical, lasting: "0m",
		expr:        poolCorrupt + " > 0",
		summary:     "Checkpoints of the " + repository + " are damaged in the store.",
		description: "{{ $value }} objects are lost or are not what was written.",
	}, {
		name: "AIDispatcherCheckpointUnverified", severity: warning, lasting: "1h",
		expr:        poolUnproved + " > 0",
		summary:     "Checkpoints of the " + repository + " are not read back.",
		description: "The newest checkpoint of {{ $value }} slots has not been verified for an hour.",
	}, {
		name: "AIDispatcherCheckpointStoreUnreachable", severity: warning, lasting: "15m",
		expr:        fmt.Sprintf("sum(increase(%s[15m])) > 3", keeperFailed),
		summary:     "The provider cannot reach a checkpoint store.",
		description: "{{ $value | humanize }} looks at repositories ended without an answer in 15 minutes.",
	}}
}

// providerAlerts are about what serves all pools.
func providerAlerts() []alert {
	trouble := []string{
		string(vector.Unavailable), string(vector.CertificateInvalid), string(vector.Unauthenticated), string(vector.PermissionDenied),
		string(vector.QuotaExceeded), string(vector.Unknown),
	}
	lacks := func(what string) string {
		return fmt.Sprintf("sum by (gvk) (%s{%s}) - sum by (gvk) (%s{%s}) > 0", managedExists, ourKinds, what, ourKinds)
	}

	return []alert{{
		name: "AIDispatcherProviderDown", severity: critical, lasting: "10m",
		expr:        fmt.Sprintf("absent(%s)", slotBound),
		summary:     "The provider tells no metrics.",
		description: "Either it does not run, or it is not scraped. Pools run on as they are; new workers get no slot.",
	}, {
		name: "AIDispatcherProviderNotLeading", severity: critical, lasting: "5m",
		expr:        fmt.Sprintf("max(%s{name=%q}) == 0", leads, lease),
		summary:     "No provider holds the lease.",
		description: "A provider runs and does no work, for 5 minutes.",
	}, {
		name: "AIDispatcherSlotsSlow", severity: warning, lasting: "0m",
		// Prometheus 3 writes the bound of a bucket with a decimal point.
		expr:        fmt.Sprintf(`sum(increase(%s_count[30m])) - sum(increase(%s_bucket{le=~"300([.]0)?"}[30m])) > 0.5`, slotWait, slotWait),
		summary:     "Workers wait long for their slot.",
		description: `{{ $value | printf "%.0f" }} workers got their slot more than 5 minutes after they were made, in the last 30 minutes.`,
	}, {
		name: "AIDispatcherVectorStoreFailing", severity: warning, lasting: "10m",
		expr: fmt.Sprintf(`sum by (store) (rate(%s{outcome=~%q}[5m])) / sum by (store) (rate(%s[5m])) > 0.1`,
			storeRequests, strings.Join(trouble, "|"), storeRequests),
		summary:     "The {{ $labels.store }} vector store fails the provider.",
		description: "{{ $value | humanizePercentage }} of the calls failed, for 10 minutes.",
	}, {
		name: "AIDispatcherNotSynced", severity: warning, lasting: "15m",
		expr:        lacks(managedSynced),
		summary:     "Managed resources cannot be reconciled.",
		description: "{{ $value }} of {{ $labels.gvk }} are not Synced, for 15 minutes.",
	}, {
		name: "AIDispatcherNotReady", severity: warning, lasting: "30m",
		expr:        lacks(managedReady),
		summary:     "Managed resources are not Ready.",
		description: "{{ $value }} of {{ $labels.gvk }} are not Ready, for 30 minutes.",
	}, {
		name: "AIDispatcherReconcileErrors", severity: warning, lasting: "15m",
		expr: fmt.Sprintf("sum by (controller) (rate(%s{%s}[10m])) / sum by (controller) (rate(%s{%s}[10m])) > 0.5",
			reconcileErrors, ourControllers, reconciles, ourControllers),
		summary:     "The provider's controller {{ $labels.controller }} fails most of the time.",
		description: "{{ $value | humanizePercentage }} of its turns ended in an error, for 15 minutes.",
	}, {
		name: "AIDispatcherCircuitOpened", severity: warning, lasting: "0m",
		// The counter is there from the first time on, and that is no increase.
		expr: fmt.Sprintf("sum by (controller) (increase(%[1]s{%[2]s}[15m])) > 0 or sum by (controller) (%[1]s{%[2]s} unless %[1]s{%[2]s} offset 15m) > 0",
			circuitOpens, ourComposites),
		summary:     "Crossplane drops events of an AIDispatcher.",
		description: `Its circuit breaker opened {{ $value | printf "%.0f" }} times in 15 minutes. What is shown of the pool may be late.`,
	}}
}
