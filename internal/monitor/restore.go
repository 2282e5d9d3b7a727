package monitor

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// RestoreConfig says what to restore and where.
type RestoreConfig struct {
	// PodinfoDir holds the pod's annotations.
	PodinfoDir string
	// StateVolume is where the volume is mounted of which the agent has a directory, monitorapi.StateSubPath.
	StateVolume string
}

// Restore prepares a worker's state directory before the agent starts. No checkpoint store is configured in this form:
// it says so, and refuses a worker that was told to restore something rather than start it without its state.
func Restore(c RestoreConfig, log *slog.Logger) error {
	annotations, err := readPodinfo(filepath.Join(c.PodinfoDir, monitorapi.PodinfoAnnotations))
	if err != nil {
		return err
	}

	slot, ok := annotations[monitorapi.AnnotationSlot]
	if !ok {
		return fmt.Errorf("the pod has no annotation %s: it was started before the binder gave it a slot; delete the pod", monitorapi.AnnotationSlot)
	}

	if m := annotations[monitorapi.AnnotationRestore]; m != "" && m != monitorapi.RestoreNone {
		return fmt.Errorf("the pod is to restore %q and no checkpoint store is configured: give the pool a checkpoint, or remove the annotation %s", m, monitorapi.AnnotationRestore)
	}

	if n, err := strconv.Atoi(slot); err != nil || n < 0 {
		return fmt.Errorf("the pod's annotation %s is %q and must be a number from 0; delete the pod", monitorapi.AnnotationSlot, slot)
	}

	// Found now, this is one sentence; found by the agent, it is a lost session.
	state := filepath.Join(c.StateVolume, monitorapi.StateSubPath)
	if err := os.Mkdir(state, 0o770); err != nil && !os.IsExist(err) { //nolint:gosec // The agent may write it by its group alone.
		return fmt.Errorf("cannot write to the state volume: %w", err)
	}

	probe, err := os.CreateTemp(state, ".writable-*")
	if err != nil {
		return fmt.Errorf("cannot write to the state directory: %w", err)
	}

	if err := probe.Close(); err != nil {
		return fmt.Errorf("cannot write to the state directory: %w", err)
	}

	if err := os.Remove(probe.Name()); err != nil {
		return fmt.Errorf("cannot tidy the state directory: %w", err)
	}

	log.Info("no checkpoint store is configured: the state directory starts as it is", "slot", slot, "epoch", annotations[monitorapi.AnnotationEpoch], "directory", state)

	return nil
}
