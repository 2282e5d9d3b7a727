package monitor

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// pollInterval is the time between two looks at the pod's annotations where nothing said that they changed. The kubelet
// swaps a symbolic link in the volume, of which inotify tells at once and for nothing; a sandbox such as gVisor need not
// pass that on, so the poll makes certain what the watch makes quick. A poll costs 0.3 ms of CPU (measured).
const pollInterval = time.Second

// An obeyer obeys the pod's annotations. What cannot be read changes nothing: a worker keeps the last command it understood.
type obeyer struct {
	dir    string
	worker *Worker
	log    *slog.Logger
	// complained is what was said last, once and not at every look.
	complained string
}

// look reads the annotations once. Before a worker is heard of it must have looked: who asks it would else be told that it has no
// slot.
func (o *obeyer) look() {
	annotations, err := readPodinfo(filepath.Join(o.dir, monitorapi.PodinfoAnnotations))

	switch {
	case err != nil && err.Error() != o.complained:
		o.log.Warn("cannot obey the pod's annotations", "error", err.Error())

		o.complained = err.Error()
	case err == nil:
		o.complained = ""

		if o.worker.Obey(annotations) {
			s := o.worker.Status()
			o.log.Info("the worker was told", "slot", s.Slot, "epoch", s.Epoch, "drain", s.DrainID, "state", s.State)
		}
	}
}

// watch looks whenever the annotations change, until the context is done.
func (o *obeyer) watch(ctx context.Context) {
	changed, stop, err := changes(o.dir)
	if err != nil {
		o.log.Warn("commands may arrive a second late", "error", err.Error())
	} else {
		defer stop()
	}

	tick := time.NewTicker(pollInterval)
	defer tick.Stop()

	for {
		o.look()

		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}
