package main

import (
	"fmt"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Units, in Grafana's words.
const (
	count     = "short"
	perSecond = "reqps"
	seconds   = "s"
	bytesUnit = "bytes"
	ratio     = "percentunit"
)

// chosenPools selects what the reader chose; the provider names a pool by its Checkpoint, which has the pool's name where
// that is short enough.
const (
	chosenPools        = `namespace=~"$namespace", dispatcher=~"$dispatcher"`
	chosenRepositories = `namespace=~"$namespace", checkpoint=~"$dispatcher"`
	poolLegend         = "{{namespace}}/{{dispatcher}}"
	repositoryLegend   = "{{namespace}}/{{checkpoint}}"
)

func dashboards() map[string]dashboard {
	return map[string]dashboard{
		"pools.json": newDashboard("aidispatcher-pools", "AIDispatcher / Pools",
			"Work, models, tokens and state of the pools.", poolVariables(), poolSections()),
		"provider.json": newDashboard("aidispatcher-provider", "AIDispatcher / Provider",
			"What the provider does for all pools.", nil, providerSections()),
	}
}

func poolVariables() []variable {
	choice := func(name, label, query string) variable {
		return variable{
			Name: name, Label: label, Type: "query", Query: query, Datasource: chosen(), Refresh: 2, Sort: 1,
			Multi: true, IncludeAll: true, AllValue: ".*", Current: map[string]any{"text": "All", "value": "$__all"},
		}
	}

	return []variable{
		choice("namespace", "Namespace", fmt.Sprintf("label_values(%s, namespace)", workers)),
		choice("dispatcher", "Pool", fmt.Sprintf(`label_values(%s{namespace=~"$namespace"}, dispatcher)`, workers)),
	}
}

// one is a chart of a single line per label value.
func one(title, unit, legend, expr, help string) chart {
	return chart{title: title, unit: unit, help: help, lines: []line{{legend, expr}}}
}

func stacked(c chart) chart {
	c.stacked = true

	return c
}

// quantiles are the middle and the tail of a histogram's values.
func quantiles(title, metric, selector, by, legend, help string) chart {
	at := func(q string) string {
		return fmt.Sprintf("histogram_quantile(%s, sum by (%s, le) (rate(%s_bucket{%s}[$__rate_interval])))", q, by, metric, selector)
	}

	return chart{title: title, unit: seconds, help: help, lines: []line{{legend + " p50", at("0.5")}, {legend + " p95", at("0.95")}}}
}

func poolSections() []section {
	in := func(name string) string { return name + "{" + chosenPools + "}" }

	return []section{
		{"Work", []chart{
			one("Unfinished tasks", count, poolLegend, in(poolDepth), "Waiting and in flight. A gap means that nobody knows."),
			one("Tasks in flight", count, poolLegend, in(poolInFlight), ""),
			{title: "Workers", unit: count, lines: []line{
				{poolLegend + " wanted", in(poolWanted)}, {poolLegend + " asked for", in(poolAsked)}, {poolLegend + " there", in(workers)},
				{poolLegend + " load known", in(workersKnown)}, {poolLegend + " draining", in(workersDrain)},
			}},
			one("Unfinished tasks for each worker", count, poolLegend, in(poolDepth)+" / "+in(workers), "The default target is 5."),
			one("Tasks that wait for input", count, poolLegend, in(poolWaiting), "They wait for somebody else than the agent."),
			one("Sessions", count, poolLegend, fmt.Sprintf("sum %s (%s)", byPool, in(monitorapi.MetricSessions)), ""),
		}},
		{"Tokens", tokenCharts(in)},
		{"Models", modelCharts(in)},
		{"State", stateCharts(in)},
	}
}

func tokenCharts(in func(string) string) []chart {
	return []chart{
		stacked(one("Tokens a minute", count, poolLegend+" {{direction}}", "60 * "+in(poolTokens), "As the model servers billed them.")),
		stacked(one("Tokens a minute by model", count, "{{model}} {{direction}}",
			fmt.Sprintf("60 * sum by (model, direction) (rate(%s[$__rate_interval]))", in(monitorapi.MetricTokens)), "")),
		stacked(one("Tokens over the time shown", count, poolLegend,
			fmt.Sprintf("sum %s (increase(%s[$__range]))", byPool, in(monitorapi.MetricTokens)), "What was billed in a time as long as the one shown, up to each point.")),
		one("Cached and reasoning tokens a minute", count, "{{detail}} {{model}}",
			fmt.Sprintf("60 * sum by (detail, model) (rate(%s[$__rate_interval]))", in(monitorapi.MetricTokensDetail)), "Parts of the tokens that are counted already."),
		one("Answers without usage a second", perSecond, poolLegend+" {{reason}}",
			fmt.Sprintf("sum by (namespace, dispatcher, reason) (rate(%s[$__rate_interval]))", in(monitorapi.MetricUsageMissing)), "Their tokens are in no count."),
		{title: "Token budget", unit: count, help: "The workers' shares of their pool's budget, in tokens a minute, and the requests that wait for it.", lines: []line{
			{poolLegend + " budget", fmt.Sprintf("sum %s (%s)", byPool, onlyChosen(monitorapi.MetricBudget))},
			{poolLegend + " waiting", fmt.Sprintf("sum %s (%s)", byPool, onlyChosen(monitorapi.MetricBudgetWaiting))},
		}},
	}
}

func modelCharts(in func(string) string) []chart {
	by := "namespace, dispatcher"

	return []chart{
		stacked(one("Requests a second", perSecond, poolLegend+" {{outcome}}", in(poolRequests), "")),
		one("Failing requests", ratio, poolLegend,
			fmt.Sprintf("sum %s (%s{%s, %s}) / sum %s (%s)", byPool, poolRequests, chosenPools, failedOutcome, byPool, in(poolRequests)),
			"The share that failed, broke off or got no answer."),
		{title: "What the model server leaves", unit: count, help: "The least that a worker was told.", lines: []line{{
			poolLegend + " {{resource}}",
			fmt.Sprintf(`min by (namespace, dispatcher, resource) (%s{%s, field="remaining"})`, monitorapi.MetricRateLimit, chosenPools),
		}}},
		quantiles("Time of a request", monitorapi.MetricModelSeconds, chosenPools, by, poolLegend, "Until the answer was whole."),
		quantiles("Time to the first words", monitorapi.MetricFirstTokenSeconds, chosenPools, by, poolLegend, "Of streams."),
		one("Samples dropped a second", perSecond, poolLegend,
			fmt.Sprintf("sum %s (%s)", byPool, onlyChosen("rate("+monitorapi.MetricPushDropped+"[$__rate_interval])")), "Of workers that push their figures."),
	}
}

func stateCharts(in func(string) string) []chart {
	of := func(name string) string { return name + "{" + chosenRepositories + "}" }

	return []chart{
		one("Oldest saved state", seconds, poolLegend, in(poolStateAge), "Since a worker's state was last seen to be what its checkpoint has: what a crash would lose."),
		stacked(one("Saves in 15 minutes", count, poolLegend+" {{outcome}}", in(poolSaves), "")),
		one("Time of a save", seconds, poolLegend+" mean", perEvent(monitorapi.MetricCheckpointSeconds), ""),
		{title: "Trouble in the store", unit: count, help: "Damaged objects, and slots whose newest checkpoint was not read back.", lines: []line{
			{repositoryLegend + " damaged", of(poolCorrupt)}, {repositoryLegend + " not verified", of(poolUnproved)},
		}},
		one("Stored", bytesUnit, poolLegend+" a second",
			fmt.Sprintf("sum %s (%s)", byPool, onlyChosen("rate("+monitorapi.MetricCheckpointStored+"[$__rate_interval])")), "What saves added to the store."),
		one("Time of the restore", seconds, poolLegend, fmt.Sprintf("max %s (%s)", byPool, onlyChosen(monitorapi.MetricRestoreSeconds)), "The slowest worker's, when it began."),
	}
}

// onlyChosen gives workers' figures the labels of those pools that the reader chose.
func onlyChosen(expr string) string { return ofPool(expr) + "{" + chosenPools + "}" }

// perEvent is the mean of a histogram of workers, by pool.
func perEvent(name string) string {
	rate := func(part string) string {
		return fmt.Sprintf("sum %s (%s)", byPool, onlyChosen("rate("+name+part+"[$__rate_interval])"))
	}

	return rate("_sum") + " / " + rate("_count")
}

func providerSections() []section {
	sum := func(by, name string) string { return fmt.Sprintf("sum by (%s) (rate(%s[$__rate_interval]))", by, name) }
	whole := func(name string) string { return fmt.Sprintf("sum(rate(%s[$__rate_interval]))", name) }
	ours := func(name string) string { return name + "{" + ourControllers + "}" }
	kinds := func(name string) string { return fmt.Sprintf("sum by (gvk) (%s{%s})", name, ourKinds) }

	return []section{
		{"Resources", []chart{
			{title: "Managed resources", unit: count, lines: []line{{"{{gvk}}", kinds(managedExists)}}},
			{title: "Not Ready", unit: count, lines: []line{{"{{gvk}}", kinds(managedExists) + " - " + kinds(managedReady)}}},
			{title: "Not Synced", unit: count, lines: []line{{"{{gvk}}", kinds(managedExists) + " - " + kinds(managedSynced)}}},
			one("Turns a second", perSecond, "{{controller}} {{result}}", sum("controller, result", ours(reconciles)), ""),
			quantiles("Time of a turn", reconcileSeconds, ourControllers, "controller", "{{controller}}", ""),
			{title: "Waiting for a turn", unit: count, lines: []line{{"{{controller}}", fmt.Sprintf("sum by (controller) (%s)", ours(queueDepth))}}},
		}},
		{"Sizes", []chart{
			one("Changes of size a minute", count, "{{direction}} {{reason}}", "60 * "+sum("direction, reason", scaleDecisions), ""),
			one("Removals a minute", count, "{{step}}", "60 * "+sum("step", removals), "What became of workers that were to go."),
			one("Pools that may not be made smaller", count, "pools", fmt.Sprintf("count(%s > 0)", poolHeld), ""),
		}},
		{"Slots", []chart{
			one("Slots given a second", perSecond, "slots", whole(slotBound), ""),
			one("Attempts that another got in the way of", perSecond, "conflicts", whole(slotConflicts), "For long, they mean that two providers work at once."),
			{title: "Wait for a slot", unit: seconds, lines: []line{
				{"p50", fmt.Sprintf("histogram_quantile(0.5, sum by (le) (rate(%s_bucket[$__rate_interval])))", slotWait)},
				{"p95", fmt.Sprintf("histogram_quantile(0.95, sum by (le) (rate(%s_bucket[$__rate_interval])))", slotWait)},
			}},
		}},
		{"Memory", []chart{
			one("Calls of vector stores a second", perSecond, "{{store}} {{call}} {{outcome}}", sum("store, call, outcome", storeRequests), ""),
			quantiles("Time of a call", storeSeconds, "", "store, call", "{{store}} {{call}}", ""),
			one("Open clients", count, "clients", fmt.Sprintf("sum(%s)", storeClients), ""),
		}},
		{"Checkpoints", keeperCharts(whole, sum)},
		{"Process", []chart{
			one("Memory", bytesUnit, "{{instance}}", provider(processMemory), ""),
			one("CPU", count, "{{instance}}", provider("rate("+processCPU+"[$__rate_interval])"), "Cores."),
			one("Holds the lease", count, "{{instance}}", fmt.Sprintf("max by (instance) (%s{name=%q})", leads, lease), "Exactly one should."),
		}},
	}
}

// provider selects what the targets tell that are providers.
func provider(expr string) string { return fmt.Sprintf("%s and %s %s", expr, byWorker, slotBound) }

func keeperCharts(whole func(string) string, sum func(by, name string) string) []chart {
	return []chart{
		one("Checkpoints read back a second", perSecond, "{{outcome}}", sum("outcome", verifications), ""),
		one("Stores that were not reached", perSecond, "looks that ended", whole(keeperFailed), ""),
		one("Age of the newest checkpoint", seconds, repositoryLegend, fmt.Sprintf("topk(20, %s)", kept(keptAge)), "The 20 oldest. A pool whose state does not change has none newer."),
		{title: "Stored", unit: bytesUnit, lines: []line{
			{"in stores", fmt.Sprintf("sum(%s)", kept(keptStored))}, {"newest states", fmt.Sprintf("sum(%s)", kept(keptState))},
		}},
		{title: "Read again and freed", unit: "Bps", lines: []line{{"read again", whole(scrubbedBytes)}, {"freed", whole(freedBytes)}}},
		{title: "Time of sweeps and scrubs", unit: seconds, help: "The mean.", lines: []line{
			{"sweep", whole(sweepSeconds+"_sum") + " / " + whole(sweepSeconds+"_count")},
			{"scrub", whole(scrubSeconds+"_sum") + " / " + whole(scrubSeconds+"_count")},
		}},
	}
}
