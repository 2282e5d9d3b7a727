package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/southwest-ai/agent-operator/internal/monitor/saver"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// RestoreConfig says what to restore and where.
type RestoreConfig struct {
	// PodinfoDir holds the pod's annotations.
	PodinfoDir string
	// StateVolume is where the volume is mounted of which the agent has a directory, monitorapi.StateSubPath.
	StateVolume string
	// CheckpointDir is where the pool's checkpoint Secret is mounted; empty for a pool without a repository.
	CheckpointDir string
}

// Restore prepares a worker's state before the agent starts. Without a checkpoint store it says so, and refuses a worker that was
// told to restore something rather than start it without its state.
func Restore(ctx context.Context, c RestoreConfig, log *slog.Logger) error {
	slot, epoch, err := holding(c.PodinfoDir)
	if err != nil {
		return err
	}

	annotations, err := readPodinfo(filepath.Join(c.PodinfoDir, monitorapi.PodinfoAnnotations))
	if err != nil {
		return err
	}

	what := annotations[monitorapi.AnnotationRestore]
	if c.CheckpointDir != "" {
		return saver.Restore(ctx, saver.Place{Volume: c.StateVolume, Dir: c.CheckpointDir, Slot: slot, Epoch: epoch}, what, log)
	}

	if what != "" && what != monitorapi.RestoreNone {
		return fmt.Errorf("the pod is to restore %q and no checkpoint store is configured: give the pool a checkpoint, or remove the annotation %s", what, monitorapi.AnnotationRestore)
	}

	state := filepath.Join(c.StateVolume, monitorapi.StateSubPath)
	if err := os.Mkdir(state, 0o770); err != nil && !os.IsExist(err) { //nolint:gosec // The agent may write it by its group alone.
		return fmt.Errorf("cannot write to the state volume: %w", err)
	}

	// Found now, this is one sentence; found by the agent, it is a lost session.
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

	log.Info("no checkpoint store is configured: the state directory starts as it is", "slot", slot, "epoch", epoch, "directory", state)

	return nil
}

// holding returns the slot that the pod's annotations say it holds, and under which epoch.
func holding(podinfoDir string) (slot string, epoch int64, err error) {
	annotations, err := readPodinfo(filepath.Join(podinfoDir, monitorapi.PodinfoAnnotations))
	if err != nil {
		return "", 0, err
	}

	slot, ok := annotations[monitorapi.AnnotationSlot]
	if !ok {
		return "", 0, fmt.Errorf("the pod has no annotation %s: it was started before the binder gave it a slot; delete the pod", monitorapi.AnnotationSlot)
	}

	if n, err := strconv.Atoi(slot); err != nil || n < 0 {
		return "", 0, fmt.Errorf("the pod's annotation %s is %q and must be a number from 0; delete the pod", monitorapi.AnnotationSlot, slot)
	}

	// A worker without checkpoints needs none.
	text := annotations[monitorapi.AnnotationEpoch]
	if text == "" {
		return slot, 0, nil
	}

	if epoch, err = strconv.ParseInt(text, 10, 64); err != nil || epoch < 1 {
		return "", 0, fmt.Errorf("the pod's annotation %s is %q and must be a number from 1; delete the pod", monitorapi.AnnotationEpoch, text)
	}

	return slot, epoch, nil
}
