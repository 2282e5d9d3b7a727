package monitorapi

import "time"

// RestoreLatest is the value of AnnotationRestore for a worker that starts with its slot's newest valid checkpoint, and with
// nothing where the slot has none. Any other value but RestoreNone is SLOT/EPOCH-SEQUENCE: exactly that checkpoint.
const RestoreLatest = "latest"

// The files that say where a pool's checkpoints are and how to get in. Only the monitor's containers have them.
const (
	// CheckpointDir is where the Secret is mounted that has them.
	CheckpointDir = "/var/run/southwest.ai/checkpoint"
	// CheckpointURL is the bucket's URL, CheckpointPrefix what all names of the pool begin with.
	CheckpointURL    = "url"
	CheckpointPrefix = "prefix"
	// CheckpointKey is the pool's data key: 64 hexadecimal digits.
	CheckpointKey = "key"
	// CheckpointCredentials are the store's, as JSON; absent where it needs none.
	CheckpointCredentials = "credentials"
	// CheckpointCA are further certificate authorities, in PEM; absent where the system's are enough.
	CheckpointCA = "ca.crt"
)

// Where a worker's state is. The monitor has the whole volume, and the agent StateSubPath of it: so a state is restored
// beside the agent's directory and takes its place in one step, before there is an agent.
const (
	StateVolumeDir = "/var/lib/southwest.ai/volume"
	StateSubPath   = "state"
)

// What the monitor is told of checkpoints, by environment.
const (
	// EnvStateVolume is where the state volume is mounted.
	EnvStateVolume = "MONITOR_STATE_VOLUME"
	// EnvCheckpointDir is CheckpointDir for a worker whose pool has a checkpoint repository; absent for others.
	EnvCheckpointDir = "MONITOR_CHECKPOINT_DIR"
	// EnvCheckpointInterval is the time between two looks whether the state has changed, as a Go duration.
	EnvCheckpointInterval = "MONITOR_CHECKPOINT_INTERVAL"
	// EnvQuiesceURL is the agent's hook, on loopback, that is called before and after each save, and EnvQuiesceTimeout its deadline.
	EnvQuiesceURL     = "MONITOR_QUIESCE_URL"
	EnvQuiesceTimeout = "MONITOR_QUIESCE_TIMEOUT"
)

// Why a checkpoint was made. A closed set: it is in manifests and labels.
const (
	// SaveInterval is a save of a state that had changed since the one before.
	SaveInterval = "Interval"
	// SaveDrain is the one that ends a drain, and names it.
	SaveDrain = "Drain"
	// SaveStop is the last one, of a worker whose agent has ended.
	SaveStop = "Stop"
	// SaveAsked is one that AnnotationCheckpointNow asked for.
	SaveAsked = "Asked"
	// SaveRestored is the first one of a worker that was given a state: the same state, under its own epoch.
	SaveRestored = "Restored"
)

// A Checkpoint is what a worker's monitor knows of its checkpoints.
type Checkpoint struct {
	// Position of the newest checkpoint this worker is known to have committed, as EPOCH-SEQUENCE; empty where there is none.
	Position string `json:"position,omitempty"`
	// Time of its commit, Reason and Drain what it was made for.
	Time   *time.Time `json:"time,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Drain  string     `json:"drain,omitempty"`
	// Files and Bytes of the state in it.
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	// CurrentAt is when the state was last seen to be what a checkpoint has: what the agent wrote later would be lost with the
	// worker. Absent before the first checkpoint.
	CurrentAt *time.Time `json:"currentAt,omitempty"`
	// Asked is the last AnnotationCheckpointNow that was answered: since it came, the state was saved, or was seen to be saved.
	Asked string `json:"asked,omitempty"`
	// RestoredFrom is the checkpoint that the worker began with, as SLOT/EPOCH-SEQUENCE; empty for one that began with nothing.
	RestoredFrom string `json:"restoredFrom,omitempty"`
	// Fenced says that another worker owns the slot: nothing of this one is saved any more.
	Fenced bool `json:"fenced,omitempty"`
	// Failing says why the last attempt failed, and FailingSince since when none succeeded; absent while all is well.
	Failing      string     `json:"failing,omitempty"`
	FailingSince *time.Time `json:"failingSince,omitempty"`
	// Notes is the number of things in the state that no checkpoint holds, such as sockets.
	Notes int64 `json:"notes,omitempty"`
}

// The monitor's figures of checkpoints. None has a label for a slot.
const (
	// MetricCheckpoints counts attempts, by outcome: saved, unchanged, failed or fenced.
	MetricCheckpoints = "aidispatcher_monitor_checkpoints_total"
	// MetricCheckpointSeconds is how long a save took, MetricCheckpointPaused how long the agent was held by the quiesce hook.
	MetricCheckpointSeconds = "aidispatcher_monitor_checkpoint_seconds"
	MetricCheckpointPaused  = "aidispatcher_monitor_checkpoint_quiesced_seconds"
	// MetricCheckpointStored counts the bytes added to the store.
	MetricCheckpointStored = "aidispatcher_monitor_checkpoint_stored_bytes_total"
	// MetricCheckpointAge is the time since the state was last seen to be what a checkpoint has.
	MetricCheckpointAge = "aidispatcher_monitor_checkpoint_age_seconds"
	// MetricRestoreSeconds is how long the restore took that the worker began with.
	MetricRestoreSeconds = "aidispatcher_monitor_restore_seconds"
)
