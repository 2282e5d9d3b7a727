package monitorapi

// AnnotationTokenShare is a worker's share of its pool's token budget: a whole number of tokens per minute, at least 0. A
// worker without it uses the share it was started with, and none of the two means that there is no budget.
const AnnotationTokenShare = "southwest.ai/token-share"

// AnnotationTokenShareHeld is the most that a worker may have had when AnnotationTokenShare was made smaller, so that a provider
// that begins anew gives it to nobody else before the worker was seen to have the smaller share. It is the provider's alone.
const AnnotationTokenShareHeld = "southwest.ai/token-share-held"

// EnvTokenShare is the share a worker starts with, until it has AnnotationTokenShare.
const EnvTokenShare = "MONITOR_TOKEN_SHARE"
