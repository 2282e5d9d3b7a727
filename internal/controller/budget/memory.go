package budget

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	sharing "github.com/southwest-ai/agent-operator/internal/budget"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A memory is what is remembered of a pool from one look to the next. It may be lost: then what workers need is not known
// for a while, and what they may still have is in their annotations.
type memory struct {
	workers map[types.UID]*seen
	// written says that the cache may lack what was written, so that the API server is asked.
	written bool
	// looked is when the workers were asked last.
	looked time.Time
}

// seen is what was seen of a worker.
type seen struct {
	meter sharing.Meter
	// kept is the share that the worker was seen to have when that was the one it was told, or sharing.None.
	kept int64
}

func newMemory() *memory { return &memory{workers: map[types.UID]*seen{}, written: true} }

// take takes over what the workers said, and returns them as the sharing sees them.
func (m *memory) take(now time.Time, pool []worker) []sharing.Worker {
	out := make([]sharing.Worker, len(pool))
	is := make(map[types.UID]*seen, len(pool))

	for i, w := range pool {
		s := m.workers[w.pod.UID]
		if s == nil {
			s = &seen{kept: sharing.None}
		}

		is[w.pod.UID] = s
		out[i] = s.take(now, w)
	}

	m.workers = is

	return out
}

func (s *seen) take(now time.Time, w worker) sharing.Worker {
	share, b := shareOf(w.pod), budgetOf(w.status)
	if b != nil && b.TokensPerMinute == share {
		s.kept = share
	}

	// A monitor that tells of no budget keeps to none, or will take its share over in a moment: nobody would see it.
	out := sharing.Worker{Name: w.pod.Name, Share: share, Has: s.has(w.pod, share, b), Fixed: b == nil}

	if b != nil {
		var used int64
		if t := w.status.Tokens; t != nil {
			used = t.Input + t.Output
		}

		out.Waiting, out.Backlog = b.Waiting > 0, b.WaitingTokens
		s.meter.Look(now, used, out.Waiting)
	}

	out.Demand, out.Keeps = s.meter.Demand(now)

	return out
}

// has is the most that a worker may use. As long as it does not have what it was told last, something else that it was told
// may be under way, too.
func (s *seen) has(p *corev1.Pod, share int64, b *monitorapi.Budget) int64 {
	if s.kept == share && (b == nil || b.TokensPerMinute == share) {
		return max(share, 0)
	}

	held, _ := figure(p, monitorapi.AnnotationTokenShareHeld)
	if b != nil {
		held = max(held, b.TokensPerMinute)
	}

	return held
}

func budgetOf(s *monitorapi.Status) *monitorapi.Budget {
	if s == nil {
		return nil
	}

	return s.Budget
}
