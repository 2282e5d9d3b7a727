package budget

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	sharing "github.com/southwest-ai/agent-operator/internal/budget"
	"github.com/southwest-ai/agent-operator/internal/controller/monitors"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// askers is how many workers of a pool are asked at once.
	askers = 16
	// allTimeout is how long all workers of a pool have to answer.
	allTimeout = 10 * time.Second
)

// Starts returns of a pod's containers what says with which share its worker starts, and nothing where nothing does.
func Starts(p *corev1.Pod) []corev1.Container {
	for _, c := range p.Spec.InitContainers {
		for _, e := range c.Env {
			if e.Name == monitorapi.EnvTokenShare {
				return []corev1.Container{{Name: c.Name, Env: []corev1.EnvVar{e}}}
			}
		}
	}

	return nil
}

// takesPart says whether a pod has a part in the budget: one that may use tokens, or will without anybody's doing.
func takesPart(p *corev1.Pod) bool {
	gated := slices.ContainsFunc(p.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == monitorapi.SlotGate })

	return !gated && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

// answers says whether a pod can be asked, and would take a smaller share. One that is about to end may not hear of it any
// more: the kubelet need not tell its containers.
func answers(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && p.Status.PodIP != ""
}

// shareOf returns what a pod was told: by its annotation, else by what it starts with. Without either, or with an annotation
// that nobody understands, it keeps to no budget that anybody knows.
func shareOf(p *corev1.Pod) int64 {
	if n, ok := figure(p, monitorapi.AnnotationTokenShare); ok {
		return n
	}

	if s := Starts(p); s != nil && p.Annotations[monitorapi.AnnotationTokenShare] == "" {
		if n, err := strconv.ParseInt(s[0].Env[0].Value, 10, 64); err == nil && n >= 0 {
			return n
		}
	}

	return sharing.None
}

func figure(p *corev1.Pod, annotation string) (int64, bool) {
	n, err := strconv.ParseInt(p.Annotations[annotation], 10, 64)

	return n, err == nil && n >= 0
}

// A worker of a pool, and what its monitor said just now: nil where it did not.
type worker struct {
	pod    *corev1.Pod
	status *monitorapi.Status
}

// byName returns the workers that have a part in the budget.
func byName(pods []corev1.Pod) []worker {
	var out []worker

	for i := range pods {
		if takesPart(&pods[i]) {
			out = append(out, worker{pod: &pods[i]})
		}
	}

	slices.SortFunc(out, func(a, b worker) int { return cmp.Compare(a.pod.Name, b.pod.Name) })

	return out
}

// workers asks workers' monitors.
type workers struct{ monitors *monitors.Client }

// ask fills in what the workers say of themselves.
func (w *workers) ask(ctx context.Context, pool []worker) {
	ctx, cancel := context.WithTimeout(ctx, allTimeout)
	defer cancel()

	var (
		wg    sync.WaitGroup
		turns = make(chan struct{}, askers)
	)

	for i := range pool {
		if !answers(pool[i].pod) {
			continue
		}

		wg.Go(func() {
			select {
			case turns <- struct{}{}:
				defer func() { <-turns }()
			case <-ctx.Done():
				return
			}

			// One that does not answer is one of which nothing is known, whatever the reason.
			if s, err := w.monitors.Status(ctx, pool[i].pod.Name, pool[i].pod.Status.PodIP); err == nil && s.Namespace == pool[i].pod.Namespace {
				pool[i].status = &s
			}
		})
	}

	wg.Wait()
}
