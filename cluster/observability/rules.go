package main

import (
	"fmt"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A rule is one of Prometheus': it records a series, or alerts.
type rule struct {
	Record      string            `json:"record,omitempty"`
	Alert       string            `json:"alert,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type group struct {
	Name     string `json:"name"`
	Interval string `json:"interval,omitempty"`
	Rules    []rule `json:"rules"`
}

type groups struct {
	Groups []group `json:"groups"`
}

// The series that are recorded: what several alerts and panels share, and what is dear to ask for over a day.
const (
	workerInfo    = "aidispatcher:worker:info"
	workers       = "aidispatcher:workers:count"
	workersKnown  = "aidispatcher:workers_known:sum"
	workersDrain  = "aidispatcher:workers_draining:sum"
	poolDepth     = "aidispatcher:queue_depth:sum"
	poolInFlight  = "aidispatcher:tasks_in_flight:sum"
	poolWaiting   = "aidispatcher:tasks_waiting_for_input:sum"
	poolTokens    = "aidispatcher:tokens:rate5m"
	poolRequests  = "aidispatcher:model_requests:rate5m"
	poolSaves     = "aidispatcher:checkpoints:increase15m"
	poolStateAge  = "aidispatcher:checkpoint_age_seconds:max"
	poolCorrupt   = "aidispatcher:checkpoint_corrupt_objects:max"
	poolUnproved  = "aidispatcher:checkpoint_unverified_slots:max"
	poolAsked     = "aidispatcher:replicas:max"
	poolWanted    = "aidispatcher:desired_replicas:max"
	poolHeld      = "aidispatcher:vetoes:max"
	byPool        = "by (namespace, dispatcher)"
	byWorker      = "on (job, instance)"
	failedOutcome = `outcome=~"failed|broken|unreachable"`
)

// ofPool gives the figures of workers, which have the labels of their target only, the labels of their pool. Job and
// instance are the two labels that each target has, however it was found; the monitor's pushes carry them, too.
func ofPool(expr string) string {
	return fmt.Sprintf("(%s) * %s group_left (namespace, dispatcher) %s", expr, byWorker, workerInfo)
}

// own is a figure of the provider with the pool's namespace. Where the provider is scraped without honorLabels, its own
// label for that has another name.
func own(name string) string {
	return fmt.Sprintf(`label_replace(%s, "namespace", "$1", "exported_namespace", "(.+)")`, name)
}

// kept is a figure of the provider about a pool's checkpoints.
func kept(name string) string {
	return fmt.Sprintf("max by (namespace, checkpoint) (%s)", own(name))
}

// sized is a figure of the provider about a pool's size. The AgentScaler has the pool's name.
func sized(name string) string {
	return fmt.Sprintf(`max %s (label_replace(%s, "dispatcher", "$1", "scaler", "(.+)"))`, byPool, own(name))
}

// records are the recording rules, each after those that it builds upon: a group is evaluated in its order.
func records() []rule {
	sum := func(name string) string { return fmt.Sprintf("sum %s (%s)", byPool, name) }

	return []rule{
		{Record: workerInfo, Expr: fmt.Sprintf("max by (job, instance, namespace, dispatcher, role) (%s >= bool 0)", monitorapi.MetricTasksKnown)},
		{Record: workers, Expr: fmt.Sprintf("count %s (%s)", byPool, workerInfo)},
		{Record: workersKnown, Expr: sum(monitorapi.MetricTasksKnown)},
		{Record: workersDrain, Expr: sum(ofPool(monitorapi.MetricDraining))},
		{Record: poolDepth, Expr: sum(monitorapi.MetricQueueDepth)},
		{Record: poolInFlight, Expr: sum(monitorapi.MetricTasksInFlight)},
		{Record: poolWaiting, Expr: sum(monitorapi.MetricWaitingForInput)},
		{Record: poolTokens, Expr: fmt.Sprintf("sum by (namespace, dispatcher, direction) (rate(%s[5m]))", monitorapi.MetricTokens)},
		{Record: poolRequests, Expr: fmt.Sprintf("sum by (namespace, dispatcher, outcome) (rate(%s[5m]))", monitorapi.MetricModelRequests)},
		{Record: poolSaves, Expr: fmt.Sprintf("sum by (namespace, dispatcher, outcome) (%s)", ofPool("increase("+monitorapi.MetricCheckpoints+"[15m])"))},
		{Record: poolStateAge, Expr: fmt.Sprintf("max %s (%s)", byPool, ofPool(monitorapi.MetricCheckpointAge))},
		{Record: poolCorrupt, Expr: kept(keptCorrupt)},
		{Record: poolUnproved, Expr: kept(keptUnverified)},
		{Record: poolAsked, Expr: sized(poolReplicas)},
		{Record: poolWanted, Expr: sized(poolDesired)},
		{Record: poolHeld, Expr: sized(poolVetoes)},
	}
}

func allRules() groups {
	return groups{Groups: []group{
		{Name: "aidispatcher.records", Interval: "30s", Rules: records()},
		{Name: "aidispatcher.pools", Interval: "30s", Rules: alertRules(poolAlerts())},
		{Name: "aidispatcher.sizes", Interval: "30s", Rules: alertRules(sizeAlerts())},
		{Name: "aidispatcher.state", Interval: "30s", Rules: alertRules(stateAlerts())},
		{Name: "aidispatcher.provider", Interval: "30s", Rules: alertRules(providerAlerts())},
	}}
}
