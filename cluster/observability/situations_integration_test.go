//go:build integration

package main

import (
	"fmt"
	"maps"
)

// known1 is a worker of a pool in the namespace team-a, whose tasks are known.
func known1(pool string) string {
	return fmt.Sprintf(`aidispatcher_monitor_tasks_known{job="pods",instance=%q,namespace="team-a",dispatcher=%q,role="coder"} 1x2000`, pool+"-1", pool)
}

// of is a series of that worker, which names no pool; labels begin with a comma or are empty.
func of(metric, pool, labels, values string) string {
	return fmt.Sprintf(`%s{job="pods",instance="%s-1",namespace="team-a"%s} %s`, metric, pool, labels, values)
}

// told is a series of that worker that names its pool.
func told(metric, pool, labels, values string) string {
	return of(metric, pool, fmt.Sprintf(`,dispatcher=%q,role="coder"%s`, pool, labels), values)
}

// kept1 is a series of the provider about a pool, as it is scraped without honorLabels.
func kept1(metric, pool, values string) string {
	return fmt.Sprintf(`%s{job="provider",instance="p",namespace="crossplane-system",exported_namespace="team-a",checkpoint=%q} %s`, metric, pool, values)
}

var (
	badPool       = map[string]string{"namespace": "team-a", "dispatcher": "bad"}
	badRepository = map[string]string{"namespace": "team-a", "checkpoint": "bad"}
	bothPools     = []string{known1("bad"), known1("good")}
)

func situations() map[string]situation {
	out := poolSituations()
	maps.Copy(out, sizeSituations())
	maps.Copy(out, stateSituations())
	maps.Copy(out, providerSituations())

	return out
}

func poolSituations() map[string]situation {
	requests := func(pool, outcome, values string) string {
		return told("agent_model_requests_total", pool, `,model="m",outcome="`+outcome+`"`, values)
	}
	served := []string{requests("good", "ok", "0+100x2000"), requests("bad", "ok", "0+60x2000")}

	return map[string]situation{
		"AIDispatcherBacklog": {
			reason: "25 tasks for one worker are too many for ever, 20 are not.", all: bothPools, at: "17m", early: "10m", labels: badPool,
			bad: []string{told("agent_queue_depth", "bad", "", "25x2000")}, good: []string{told("agent_queue_depth", "good", "", "20x2000")},
			summary:     "The pool team-a/bad does not keep up with its tasks.",
			description: "There are 25 unfinished tasks for each worker, for 15 minutes.",
		},
		"AIDispatcherTasksUnknown": {
			reason: "What was known becomes unknown; what never was is nobody's fault.", at: "30m", early: "12m", labels: badPool,
			bad: []string{`aidispatcher_monitor_tasks_known{job="pods",instance="bad-1",namespace="team-a",dispatcher="bad",role="coder"} 1x19 0x2000`},
			good: []string{
				known1("good"),
				`aidispatcher_monitor_tasks_known{job="pods",instance="never-1",namespace="team-a",dispatcher="never",role="coder"} 0x2000`,
			},
			summary:     "The load of workers of the pool team-a/bad is not known.",
			description: "1 workers could not read their agent's tasks for 10 minutes. The pool is not made smaller meanwhile.",
		},
		"AIDispatcherModelFailing": {
			reason: "40 of 100 is too many, 5 of 105 is not.", all: served, at: "20m", early: "5m", labels: badPool,
			bad:         []string{requests("bad", "failed", "0+30x2000"), requests("bad", "unreachable", "0+10x2000")},
			good:        []string{requests("good", "failed", "0+5x2000"), requests("good", "aborted", "0+50x2000")},
			summary:     "The model server fails the pool team-a/bad.",
			description: "40% of the requests failed, broke off or got no answer, for 10 minutes.",
		},
		"AIDispatcherModelLimited": {
			reason: "Refusals as too many are not failures.", all: served, at: "20m", early: "5m", labels: badPool,
			bad: []string{requests("bad", "limited", "0+20x2000")}, good: []string{requests("good", "failed", "0+50x2000")},
			summary:     "The model server's rate limit slows the pool team-a/bad down.",
			description: "25% of the requests were refused as too many, for 10 minutes. More workers do not help.",
		},
		"AIDispatcherUsageMissing": {
			reason: "An answer that nobody waited for misses its usage rightly.", all: served, at: "25m", early: "10m", labels: badPool,
			bad:         []string{told("agent_model_usage_missing_total", "bad", `,model="m",reason="absent"`, "0+15x2000")},
			good:        []string{told("agent_model_usage_missing_total", "good", `,model="m",reason="aborted"`, "0+50x2000")},
			summary:     "The token counts of the pool team-a/bad are too low.",
			description: "The model server told no usage for 25% of the requests. Their tokens are in no count.",
		},
		"AIDispatcherOverBudget": {
			reason: "A tenth of the requests was not sent.", all: served[:1], at: "20m", early: "5m", labels: badPool,
			bad:         []string{requests("bad", "ok", "0+90x2000"), requests("bad", "over_budget", "0+10x2000")},
			good:        []string{requests("good", "over_budget", "0+1x2000")},
			summary:     "The token budget of the pool team-a/bad holds requests back.",
			description: "10% of the requests waited for the budget in vain, for 10 minutes.",
		},
		"AIDispatcherDrainStuck": {
			reason: "A drain of an hour, and one that is over.", all: bothPools, at: "90m", early: "60m", labels: badPool,
			bad:         []string{of("aidispatcher_monitor_draining", "bad", "", "0x19 1x2000")},
			good:        []string{of("aidispatcher_monitor_draining", "good", "", "0x19 1x100 0x2000")},
			summary:     "A worker of the pool team-a/bad has been draining for an hour.",
			description: "1 workers take no new tasks and do not end.",
		},
		"AIDispatcherPushFailing": {
			reason: "Samples are dropped all the time.", all: bothPools, at: "30m", early: "10m", labels: badPool,
			bad:         []string{of("aidispatcher_monitor_push_dropped_samples_total", "bad", "", "0+10x2000")},
			good:        []string{of("aidispatcher_monitor_push_dropped_samples_total", "good", "", "7x2000")},
			summary:     "Figures of the pool team-a/bad are refused by the server they are written to.",
			description: "300 samples were dropped in 15 minutes.",
		},
	}
}

func sizeSituations() map[string]situation {
	sized1 := func(metric, pool, values string) string {
		return fmt.Sprintf(`%s{job="provider",instance="p",namespace="crossplane-system",exported_namespace="team-a",scaler=%q} %s`, metric, pool, values)
	}

	return map[string]situation{
		"AIDispatcherTooFewWorkers": {
			reason: "One waits for workers, one for workers to go.", at: "20m", early: "10m", labels: badPool,
			all:         []string{sized1("aidispatcher_pool_replicas", "bad", "3x2000"), sized1("aidispatcher_pool_replicas", "good", "3x2000")},
			bad:         []string{sized1("aidispatcher_pool_desired_replicas", "bad", "5x2000")},
			good:        []string{sized1("aidispatcher_pool_desired_replicas", "good", "1x2000")},
			summary:     "The pool team-a/bad does not get the size that its load wants.",
			description: "It lacks 2 workers that were decided upon, for 15 minutes.",
		},
		"AIDispatcherWorkersMissing": {
			reason: "One of three is there, and one of one.", at: "20m", early: "10m", labels: badPool, all: bothPools,
			bad:         []string{sized1("aidispatcher_pool_replicas", "bad", "3x2000")},
			good:        []string{sized1("aidispatcher_pool_replicas", "good", "1x2000")},
			summary:     "Workers of the pool team-a/bad do not come up.",
			description: "2 workers were asked for and tell nothing, for 15 minutes.",
		},
		"AIDispatcherScaleInHeld": {
			reason: "A rollout is a reason for a while.", at: "70m", early: "50m", labels: badPool,
			bad:         []string{`aidispatcher_pool_vetoes{job="provider",instance="p",namespace="team-a",scaler="bad"} 2x2000`},
			good:        []string{sized1("aidispatcher_pool_vetoes", "good", "1x80 0x2000")},
			summary:     "The pool team-a/bad may not be made smaller.",
			description: "There have been reasons against removing a worker for an hour, 2 now.",
		},
	}
}

func stateSituations() map[string]situation {
	saves := func(pool, outcome, values string) string {
		return of("aidispatcher_monitor_checkpoints_total", pool, `,outcome="`+outcome+`"`, values)
	}

	return map[string]situation{
		"AIDispatcherCheckpointsFail": {
			reason: "Some failures between saves are no trouble; failures alone are.", all: bothPools, at: "30m", early: "4m", labels: badPool,
			bad:         []string{saves("bad", "failed", "0+1x2000"), saves("bad", "saved", "5x2000"), saves("bad", "unchanged", "0x2000")},
			good:        []string{saves("good", "failed", "0+1x2000"), saves("good", "unchanged", "0+1x2000")},
			summary:     "Workers of the pool team-a/bad cannot save their state.",
			description: "1 workers have failed to save for 15 minutes. What they did since is lost if they die now.",
		},
		"AIDispatcherWorkerFenced": {
			reason: "One refused save says it.", all: bothPools, at: "10m", early: "2m", labels: badPool,
			bad: []string{saves("bad", "fenced", "0x9 1x2000")}, good: []string{saves("good", "fenced", "0x2000")},
			summary:     "A worker of the pool team-a/bad lost its slot to another and runs on.",
			description: "1 workers are fenced: nothing of what they do is kept.",
		},
		"AIDispatcherCheckpointCorrupt": {
			reason: "One damaged object is one too many, whoever honours labels.", at: "10m", early: "2m", labels: badRepository,
			bad: []string{kept1("aidispatcher_checkpoint_corrupt_objects", "bad", "0x9 3x2000")},
			good: []string{
				kept1("aidispatcher_checkpoint_corrupt_objects", "good", "0x2000"),
				`aidispatcher_checkpoint_corrupt_objects{job="provider",instance="p",namespace="team-b",checkpoint="bad"} 0x2000`,
			},
			summary:     "Checkpoints of the pool team-a/bad are damaged in the store.",
			description: "3 objects are lost or are not what was written.",
		},
		"AIDispatcherCheckpointUnverified": {
			reason: "Each new checkpoint is unverified for a moment.", at: "80m", early: "50m", labels: badRepository,
			bad: []string{`aidispatcher_checkpoint_unverified_slots{job="provider",instance="p",namespace="team-a",checkpoint="bad"} 2x2000`},
			// Never for long.
			good:        []string{kept1("aidispatcher_checkpoint_unverified_slots", "good", "1x60 0x9 1x60 0x9 1x2000")},
			summary:     "Checkpoints of the pool team-a/bad are not read back.",
			description: "The newest checkpoint of 2 slots has not been verified for an hour.",
		},
		"AIDispatcherCheckpointStoreUnreachable": {
			reason: "A failure now and then is usual.", at: "35m", early: "10m",
			bad:         []string{`aidispatcher_checkpoint_failed_turns_total{job="provider",instance="p"} 0+1x2000`},
			good:        []string{`aidispatcher_checkpoint_failed_turns_total{job="provider",instance="q"} 0x9 1x29 2x2000`},
			summary:     "The provider cannot reach a checkpoint store.",
			description: "30 looks at repositories ended without an answer in 15 minutes.",
		},
	}
}

func providerSituations() map[string]situation {
	const target = `{job="provider",instance="p"`

	slots := func(le, values string) string {
		return `aidispatcher_slots_wait_seconds_bucket` + target + `,le="` + le + `"} ` + values
	}
	kind := func(metric, of, values string) string {
		return metric + target + `,gvk="agent.southwest.ai/v1alpha1, Kind=` + of + `"} ` + values
	}
	exist := []string{
		kind("crossplane_managed_resource_exists", "Checkpoint", "5x2000"), kind("crossplane_managed_resource_exists", "AgentScaler", "5x2000"),
		`crossplane_managed_resource_exists{job="other",instance="o",gvk="s3.example.org/v1, Kind=Bucket"} 9x2000`,
	}
	turns := func(metric, controller, labels, values string) string {
		return metric + target + `,controller="` + controller + `"` + labels + `} ` + values
	}

	return map[string]situation{
		"AIDispatcherProviderDown": {
			reason: "It is there, and then gone.", at: "40m", early: "12m", instead: true,
			bad:         []string{`aidispatcher_slots_bound_total` + target + `} 0x9 _x2000`},
			good:        []string{`aidispatcher_slots_bound_total` + target + `} 0x2000`},
			summary:     "The provider tells no metrics.",
			description: "Either it does not run, or it is not scraped. Pools run on as they are; new workers get no slot.",
		},
		"AIDispatcherProviderNotLeading": {
			reason: "One of two leads; none of them does.", at: "20m", early: "3m",
			bad:         []string{`leader_election_master_status{job="provider",instance="p",name="crossplane-leader-election-provider-aidispatcher"} 0x2000`},
			good:        []string{`leader_election_master_status{job="other",instance="o",name="other"} 0x2000`},
			summary:     "No provider holds the lease.",
			description: "A provider runs and does no work, for 5 minutes.",
		},
		"AIDispatcherSlotsSlow": {
			reason: "Three workers waited beyond the last bucket.", at: "20m", early: "5m",
			bad:         []string{slots("300", "4x29 5x2000"), slots("+Inf", "5x29 9x2000"), `aidispatcher_slots_wait_seconds_count` + target + `} 5x29 9x2000`},
			good:        []string{`aidispatcher_slots_wait_seconds_bucket{job="provider",instance="q",le="300"} 0+1x2000`, `aidispatcher_slots_wait_seconds_count{job="provider",instance="q"} 0+1x2000`},
			summary:     "Workers wait long for their slot.",
			description: "3 workers got their slot more than 5 minutes after they were made, in the last 30 minutes.",
		},
		"AIDispatcherVectorStoreFailing": {
			reason: "That a collection is not there yet is no failure.", at: "20m", early: "5m", labels: map[string]string{"store": "Qdrant"},
			all:         []string{`aidispatcher_vector_store_requests_total` + target + `,store="Qdrant",call="Describe",outcome="OK"} 0+8x2000`},
			bad:         []string{`aidispatcher_vector_store_requests_total` + target + `,store="Qdrant",call="Describe",outcome="Unavailable"} 0+2x2000`},
			good:        []string{`aidispatcher_vector_store_requests_total` + target + `,store="Chroma",call="Describe",outcome="NotFound"} 0+9x2000`},
			summary:     "The Qdrant vector store fails the provider.",
			description: "20% of the calls failed, for 10 minutes.",
		},
		"AIDispatcherNotSynced": {
			reason: "Two of ours are not synced; another's kinds are others' trouble.", at: "20m", early: "10m", all: exist,
			labels:      map[string]string{"gvk": "agent.southwest.ai/v1alpha1, Kind=Checkpoint"},
			bad:         []string{kind("crossplane_managed_resource_synced", "Checkpoint", "3x2000")},
			good:        []string{kind("crossplane_managed_resource_synced", "AgentScaler", "5x2000"), `crossplane_managed_resource_synced{job="other",instance="o",gvk="s3.example.org/v1, Kind=Bucket"} 0x2000`},
			summary:     "Managed resources cannot be reconciled.",
			description: "2 of agent.southwest.ai/v1alpha1, Kind=Checkpoint are not Synced, for 15 minutes.",
		},
		"AIDispatcherNotReady": {
			reason: "Pools under way are not ready for a while.", at: "40m", early: "25m", all: exist,
			labels:      map[string]string{"gvk": "agent.southwest.ai/v1alpha1, Kind=AgentScaler"},
			bad:         []string{kind("crossplane_managed_resource_ready", "AgentScaler", "4x2000")},
			good:        []string{kind("crossplane_managed_resource_ready", "Checkpoint", "5x2000")},
			summary:     "Managed resources are not Ready.",
			description: "1 of agent.southwest.ai/v1alpha1, Kind=AgentScaler are not Ready, for 30 minutes.",
		},
		"AIDispatcherReconcileErrors": {
			reason: "A tenth of errors is conflicts, four fifths are not.", at: "30m", early: "10m", labels: map[string]string{"controller": "slot"},
			bad: []string{
				turns("controller_runtime_reconcile_total", "slot", `,result="error"`, "0+8x2000"), turns("controller_runtime_reconcile_total", "slot", `,result="success"`, "0+2x2000"),
				turns("controller_runtime_reconcile_errors_total", "slot", "", "0+8x2000"),
			},
			good: []string{
				turns("controller_runtime_reconcile_total", "managed/checkpoint.agent.southwest.ai", `,result="success"`, "0+9x2000"),
				turns("controller_runtime_reconcile_errors_total", "managed/checkpoint.agent.southwest.ai", "", "0+1x2000"),
			},
			summary:     "The provider's controller slot fails most of the time.",
			description: "80% of its turns ended in an error, for 15 minutes.",
		},
		"AIDispatcherCircuitOpened": {
			reason: "Its counter begins with the first time. Another composite's breaker is others' trouble.", at: "20m", early: "5m",
			labels:      map[string]string{"controller": "composite/aidispatchers.southwest.ai"},
			bad:         []string{`circuit_breaker_opens_total{job="core",instance="c",controller="composite/aidispatchers.southwest.ai"} _x29 1x2000`},
			good:        []string{`circuit_breaker_opens_total{job="core",instance="c",controller="composite/xdatabases.example.org"} 0+1x2000`},
			summary:     "Crossplane drops events of an AIDispatcher.",
			description: "Its circuit breaker opened 1 times in 15 minutes. What is shown of the pool may be late.",
		},
	}
}
