package removal

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/worker"
)

const (
	// askers is how many workers are asked at once, and askTimeout how long one has to answer.
	askers     = 16
	askTimeout = 2 * time.Second
)

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

			if s, err := c.status(ctx, ips[w.UID]); err == nil && s.Pod == w.Name {
				w.Report = reportOf(s)
			}
		})
	}

	wg.Wait()
}

func (p *Pools) status(ctx context.Context, ip string) (monitorapi.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d%s", ip, monitorapi.Port, monitorapi.PathStatus), nil)
	if err != nil {
		return monitorapi.Status{}, err
	}

	rsp, err := p.http.Do(req)
	if err != nil {
		return monitorapi.Status{}, err
	}
	defer rsp.Body.Close() //nolint:errcheck // It was only read.

	var s monitorapi.Status
	if rsp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("the monitor answers %s", rsp.Status)
	}

	return s, json.NewDecoder(http.MaxBytesReader(nil, rsp.Body, 1<<20)).Decode(&s)
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
