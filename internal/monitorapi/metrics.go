package monitorapi

// The names of the figures that a worker's monitor tells. Those that begin with agent_ carry the labels LabelNamespace,
// LabelDispatcherName and LabelRoleName. None has a label for a slot, a session or a task.
const (
	// MetricTokens counts tokens that a model server billed, by direction and model.
	MetricTokens = "agent_tokens_total"
	// MetricTokensDetail counts the parts of MetricTokens that have a price or a meaning of their own, by detail and model.
	MetricTokensDetail = "agent_tokens_detail_total"
	// MetricModelRequests counts requests to the model server, by outcome and model.
	MetricModelRequests = "agent_model_requests_total"
	// MetricUsageMissing counts requests whose usage never came, by reason and model. They are in no other count of tokens.
	MetricUsageMissing = "agent_model_usage_missing_total"
	// MetricModelSeconds is the time a request took, and MetricFirstTokenSeconds that to the first event with the model's words.
	MetricModelSeconds      = "agent_model_request_seconds"
	MetricFirstTokenSeconds = "agent_model_first_token_seconds"
	// MetricRateLimit is what the model server last said of its limits, by resource and field.
	MetricRateLimit = "agent_model_ratelimit"

	// MetricQueueDepth is the number of unfinished tasks, waiting and in flight. While it is unknown the series is absent, as
	// are the three after it.
	MetricQueueDepth      = "agent_queue_depth"
	MetricTasksInFlight   = "agent_tasks_in_flight"
	MetricWaitingForInput = "agent_tasks_waiting_for_input"
	MetricSessions        = "agent_sessions"
	// MetricTasksKnown is 1 while the figures of the tasks are known, and 0 while they are not.
	MetricTasksKnown = "aidispatcher_monitor_tasks_known"

	// MetricBudget is the worker's share of its pool's token budget, in tokens per minute; absent where there is none.
	MetricBudget = "aidispatcher_monitor_budget_tokens_per_minute"
	// MetricBudgetWaiting is the number of requests that wait for the budget.
	MetricBudgetWaiting = "aidispatcher_monitor_budget_waiting"
	// MetricBudgetWaits and MetricBudgetRefused count requests that had to wait, and those that were refused after it.
	MetricBudgetWaits   = "aidispatcher_monitor_budget_waits_total"
	MetricBudgetRefused = "aidispatcher_monitor_budget_refused_total"

	// MetricPushes counts remote writes, by outcome: ok, retried or dropped.
	MetricPushes = "aidispatcher_monitor_pushes_total"
	// MetricPushDropped counts the samples that were dropped because they could not be delivered. Counters lose nothing by it:
	// the next sample carries the total.
	MetricPushDropped = "aidispatcher_monitor_push_dropped_samples_total"
)

// The labels of the figures.
const (
	LabelNamespace      = "namespace"
	LabelDispatcherName = "dispatcher"
	LabelRoleName       = "role"

	// LabelDirection is DirectionInput or DirectionOutput.
	LabelDirection  = "direction"
	DirectionInput  = "input"
	DirectionOutput = "output"
	// LabelDetail is DetailCached, a part of the input, or DetailReasoning, a part of the output.
	LabelDetail     = "detail"
	DetailCached    = "cached"
	DetailReasoning = "reasoning"
	// LabelModel is the name a model server bills under: the first few it used, and then "other".
	LabelModel   = "model"
	LabelOutcome = "outcome"
	LabelReason  = "reason"
)
