package main

// Metrics of the provider and of others, which have no constant in the code that tells them. A query that names one that
// does not exist fails a test.
const (
	slotBound     = "aidispatcher_slots_bound_total"
	slotConflicts = "aidispatcher_slots_conflicts_total"
	slotWait      = "aidispatcher_slots_wait_seconds"

	storeRequests = "aidispatcher_vector_store_requests_total"
	storeSeconds  = "aidispatcher_vector_store_request_duration_seconds"
	storeClients  = "aidispatcher_vector_store_clients_open"

	keptAge        = "aidispatcher_checkpoint_newest_age_seconds"
	keptStored     = "aidispatcher_checkpoint_stored_bytes"
	keptState      = "aidispatcher_checkpoint_state_bytes"
	keptCorrupt    = "aidispatcher_checkpoint_corrupt_objects"
	keptUnverified = "aidispatcher_checkpoint_unverified_slots"
	verifications  = "aidispatcher_checkpoint_verifications_total"
	keeperFailed   = "aidispatcher_checkpoint_failed_turns_total"
	sweepSeconds   = "aidispatcher_checkpoint_sweep_duration_seconds"
	scrubSeconds   = "aidispatcher_checkpoint_scrub_duration_seconds"
	scrubbedBytes  = "aidispatcher_checkpoint_scrubbed_bytes_total"
	freedBytes     = "aidispatcher_checkpoint_freed_bytes_total"

	poolReplicas   = "aidispatcher_pool_replicas"
	poolDesired    = "aidispatcher_pool_desired_replicas"
	poolVetoes     = "aidispatcher_pool_vetoes"
	scaleDecisions = "aidispatcher_scaling_decisions_total"
	removals       = "aidispatcher_removals_total"

	managedExists = "crossplane_managed_resource_exists"
	managedReady  = "crossplane_managed_resource_ready"
	managedSynced = "crossplane_managed_resource_synced"

	reconciles       = "controller_runtime_reconcile_total"
	reconcileErrors  = "controller_runtime_reconcile_errors_total"
	reconcileSeconds = "controller_runtime_reconcile_time_seconds"
	queueDepth       = "workqueue_depth"
	queueSeconds     = "workqueue_queue_duration_seconds"
	leads            = "leader_election_master_status"
	processMemory    = "process_resident_memory_bytes"
	processCPU       = "process_cpu_seconds_total"
	circuitOpens     = "circuit_breaker_opens_total"
)

// lease is the one that the provider which works holds.
const lease = "crossplane-leader-election-provider-aidispatcher"

// Names of our own controllers, kinds and composites, as the metrics of others have them.
const (
	ourControllers = `controller=~"slot|.*[.]agent[.]southwest[.]ai"`
	ourKinds       = `gvk=~"agent[.]southwest[.]ai/.*"`
	ourComposites  = `controller=~"composite/x?aidispatchers[.]southwest[.]ai"`
)
