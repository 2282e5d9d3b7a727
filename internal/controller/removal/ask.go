package removal

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/worker"
)

// askers is how many workers of a pool are asked at once.
const askers = 16

// ask fills in what the monitors say. One that does not answer has no report.
func (c *cluster) ask(ctx context.Context, workers []worker.Worker, pods []corev1.Pod) {
	ips := make(map[string]string, len(pods))
	for i := range pods {
		ips[string(pods[i].UID)] = pods[i].Status.PodIP
	}

	var (
		wg    sync.WaitGroup
		begin = make(chan struct{}, askers)
	)

	for i := range workers {
		w := &workers[i]
		if ips[w.UID] == "" {
			continue
		}

		begin <- struct{}{}

		wg.Go(func() {
			defer func() { <-begin }()

			if s, err := c.monitors.Status(ctx, w.Name, ips[w.UID]); err == nil {
				w.Report = reportOf(s)
			}
		})
	}

	wg.Wait()
}

func reportOf(s monitorapi.Status) *worker.Report {
	r := &worker.Report{
		Ready: s.Ready, Drain: s.DrainID, Drained: s.State == monitorapi.StateDrained, Late: s.Late,
		Known: s.Tasks.Known && (s.Tasks.InFlight != nil || s.Tasks.QueueDepth != nil),
	}

	switch {
	case s.Tasks.InFlight != nil:
		r.InFlight = *s.Tasks.InFlight
	case s.Tasks.QueueDepth != nil:
		r.InFlight = *s.Tasks.QueueDepth
	}

	if s.Tasks.Sessions != nil {
		r.Sessions = *s.Tasks.Sessions
	}

	if s.Checkpoint != nil {
		r.Saved = s.Checkpoint.Drain
		if s.Checkpoint.CurrentAt != nil {
			r.SavedAt = *s.Checkpoint.CurrentAt
		}
	}

	return r
}
