package monitorapi

// AnnotationTokenShare is a worker's share of its pool's token budget: a whole number of tokens per minute, at least 0. A
// worker without it uses the share it was started with, and none of the two means that there is no budget.
const AnnotationTokenShare = "southwest.ai/token-share"

// EnvTokenShare is the share a worker starts with, until it has AnnotationTokenShare.
const EnvTokenShare = "MONITOR_TOKEN_SHARE"
