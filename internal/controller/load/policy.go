package load

import (
	"time"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

const (
	defaultMin, defaultMax = 1, 100
	// defaultWindow is how long a load must have been low before a worker is removed.
	defaultWindow = 5 * time.Minute
	// panicAt is by how many times a load must jump for a step to be no bound.
	panicAt = 2
	// leastAge is how old a reading may be at least, however often it is taken.
	leastAge = 10 * time.Second
)

// PolicyOf returns what a scaler asks for.
func PolicyOf(p v1alpha1.AgentScalerParameters) scale.Policy {
	out := scale.Policy{Min: defaultMin, Max: defaultMax, Window: defaultWindow, MaxAge: max(leastAge, 3*intervalOf(p))}

	if p.MinReplicaCount != nil {
		out.Min = max(*p.MinReplicaCount, 1)
	}

	if p.MaxReplicaCount != nil {
		out.Max = max(*p.MaxReplicaCount, out.Min)
	}

	for _, t := range p.Triggers {
		out.Metrics = append(out.Metrics, scale.Metric{Name: string(t.Type), Target: float64(max(t.Target, 1))})
	}

	if d := p.ScaleDown; d != nil && d.StabilizationSeconds != nil {
		out.Window = time.Duration(*d.StabilizationSeconds) * time.Second
	}

	if p.TokensPerMinute != nil {
		out.TokensPerMinute = float64(*p.TokensPerMinute)
	}

	if f := p.Fallback; f != nil {
		out.Fallback = &scale.Fallback{After: time.Duration(f.AfterSeconds) * time.Second, Replicas: f.Replicas}
	}

	if u := p.ScaleUp; u != nil && u.MaxStep != nil {
		out.OutStep, out.Panic = *u.MaxStep, panicAt
	}

	for _, s := range p.Schedules {
		// The function refuses what cannot be read, and who wrote it himself is told by the condition.
		if c, err := scale.ParseSchedule(s.Schedule, s.TimeZone, time.Duration(s.DurationSeconds)*time.Second, s.MinReplicas); err == nil {
			out.Schedules = append(out.Schedules, c)
		}
	}

	return out
}

// intervalOf returns the time between two looks at a pool.
func intervalOf(p v1alpha1.AgentScalerParameters) time.Duration {
	switch {
	case len(p.Triggers) == 0 || p.Suspend:
		return slowest
	case p.PollingInterval != nil:
		return time.Duration(*p.PollingInterval) * time.Second
	default:
		return fastest
	}
}
