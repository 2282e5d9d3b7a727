package checkpoint

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// askers is how many workers are asked at once.
	askers = 16
	// askTimeout is how long a worker has to answer, and allTimeout how long all of a pool have.
	askTimeout = 2 * time.Second
	allTimeout = 10 * time.Second
	// defaultInterval is the time between two saves of a Checkpoint that says nothing of it.
	defaultInterval = time.Minute
)

// An rpo is what the workers of a pool say of the state that they would lose.
type rpo struct {
	// workers were asked, silent of them do not say, and behind are those of which the state is in no checkpoint within the bound.
	workers, silent, behind int
	bound                   time.Duration
}

// judge looks at how long ago each worker's state was in a checkpoint, nil for one that does not say.
func judge(ages []*time.Duration, interval time.Duration) rpo {
	out := rpo{workers: len(ages), bound: 2 * interval}

	for _, age := range ages {
		switch {
		case age == nil:
			out.silent++
		case *age > out.bound:
			out.behind++
		}
	}

	return out
}

// met is nil while it is not known of every worker. One that is known to be behind is enough to say no.
func (r rpo) met() *bool {
	if r.behind == 0 && r.silent > 0 {
		return nil
	}

	met := r.behind == 0

	return &met
}

func intervalOf(seconds *int32) time.Duration {
	if seconds == nil {
		return defaultInterval
	}

	return time.Duration(*seconds) * time.Second
}

// observe returns what was found out last, and what the workers say now.
func (k *Keeper) observe(ctx context.Context, mg *v1alpha1.Checkpoint) (v1alpha1.CheckpointObservation, rpo, error) {
	r := k.report(mg)

	k.mu.Lock()
	at := *r.at.DeepCopy()
	k.mu.Unlock()

	pods := &corev1.PodList{}
	if err := k.cache.List(ctx, pods, client.InNamespace(mg.GetNamespace()), client.MatchingLabels{v1alpha1.LabelCheckpoint: mg.GetName()}); err != nil {
		return at, rpo{}, err
	}

	bound, ips := workers(pods.Items)
	at.Bound = &bound

	if at.Slots != nil {
		// A slot that is bound may not have been saved yet.
		hibernated := max(0, *at.Slots-bound)
		at.Hibernated = &hibernated
	}

	ages, asked := k.ages(ctx, ips)
	loss := judge(ages, intervalOf(mg.Spec.ForProvider.IntervalSeconds))
	at.RPOMet, at.CheckpointedFor = loss.met(), answered(mg, asked)

	return at, loss, nil
}

// workers returns how many slots are bound, and the addresses of the workers that run.
func workers(pods []corev1.Pod) (bound int32, ips []string) {
	slots := map[string]bool{}

	for i := range pods {
		p := &pods[i]

		slot, ok := p.Annotations[monitorapi.AnnotationSlot]
		if !ok || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}

		slots[slot] = true

		if p.Status.Phase == corev1.PodRunning {
			ips = append(ips, p.Status.PodIP)
		}
	}

	return int32(len(slots)), ips //nolint:gosec // A pool has at most a thousand workers.
}

// ages asks the workers how long ago their state was in a checkpoint, and which request to save they have answered last.
func (k *Keeper) ages(ctx context.Context, ips []string) (ages []*time.Duration, asked []string) {
	ctx, cancel := context.WithTimeout(ctx, allTimeout)
	defer cancel()

	var (
		wg    sync.WaitGroup
		begin = make(chan struct{}, askers)
	)

	ages, asked = make([]*time.Duration, len(ips)), make([]string, len(ips))

	for i, ip := range ips {
		leave, err := acquire(ctx, begin)
		if err != nil {
			break // The others do not say.
		}

		wg.Go(func() {
			defer leave()

			ages[i], asked[i] = k.ask(ctx, ip)
		})
	}

	wg.Wait()

	return ages, asked
}

// ask returns how long ago a worker's state was in a checkpoint, nil if it does not say, and the request that it answered last. One
// that has just begun has that long nothing to lose.
func (k *Keeper) ask(ctx context.Context, ip string) (*time.Duration, string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(ip, strconv.Itoa(monitorapi.Port))+monitorapi.PathStatus, nil)
	if err != nil {
		return nil, ""
	}

	rsp, err := k.client.Do(req)
	if err != nil {
		return nil, ""
	}
	defer rsp.Body.Close() // It was only read.

	var s monitorapi.Status
	if err := json.NewDecoder(io.LimitReader(rsp.Body, 1<<20)).Decode(&s); err != nil || s.Checkpoint == nil {
		return nil, ""
	}

	at := s.StartedAt
	if c := s.Checkpoint.CurrentAt; c != nil {
		at = *c
	}

	age := k.now().Sub(at)

	return &age, s.Checkpoint.Asked
}
