package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

// What the provider does where a pool does not say. A test holds them to it.
const (
	defaultInterval = 500 * time.Millisecond
	defaultWindow   = 5 * time.Minute
	defaultMax      = 100
	// panicAt is by how many times a load must jump for a step to be no bound.
	panicAt = 2
)

// A rule is a pool's scaling, as it is written for a team's AIDispatcher or for the AgentScaler that this becomes.
type rule struct {
	namespace, name string
	policy          scale.Policy
	// queries are those of the metrics that have their own.
	queries  map[string]string
	size     int32
	interval time.Duration
}

// A manifest is what a rule is read from: the fields of both kinds by the names they have on the wire. Unknown ones are ignored.
type manifest struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name      string `yaml:"name"`
		Namespace string `yaml:"namespace"`
	} `yaml:"metadata"`
	Spec struct {
		Replicas    *int32   `yaml:"replicas"`
		Scaling     *scaling `yaml:"scaling"`
		TokenBudget struct {
			TokensPerMinute int64 `yaml:"tokensPerMinute"`
		} `yaml:"tokenBudget"`
		ForProvider struct {
			scaling `yaml:",inline"`

			Replicas        *int32 `yaml:"replicas"`
			TokensPerMinute int64  `yaml:"tokensPerMinute"`
		} `yaml:"forProvider"`
	} `yaml:"spec"`
}

// scaling has the words of both kinds: each of them uses one of two.
type scaling struct {
	MinReplicas     *int32   `yaml:"minReplicas"`
	MaxReplicas     *int32   `yaml:"maxReplicas"`
	MinReplicaCount *int32   `yaml:"minReplicaCount"`
	MaxReplicaCount *int32   `yaml:"maxReplicaCount"`
	Metrics         []metric `yaml:"metrics"`
	Triggers        []metric `yaml:"triggers"`
	PollingInterval *int32   `yaml:"pollingInterval"`

	Schedules []struct {
		Schedule        string `yaml:"schedule"`
		TimeZone        string `yaml:"timeZone"`
		DurationSeconds int32  `yaml:"durationSeconds"`
		MinReplicas     int32  `yaml:"minReplicas"`
	} `yaml:"schedules"`
	ScaleUp struct {
		MaxStep int32 `yaml:"maxStep"`
	} `yaml:"scaleUp"`
	ScaleDown struct {
		StabilizationSeconds *int32 `yaml:"stabilizationSeconds"`
	} `yaml:"scaleDown"`
	Fallback *struct {
		AfterSeconds int32 `yaml:"afterSeconds"`
		Replicas     int32 `yaml:"replicas"`
	} `yaml:"fallback"`
}

type metric struct {
	Type   string `yaml:"type"`
	Target int64  `yaml:"target"`
	Query  string `yaml:"query"`
}

// ruleOf returns the rule of a pool in a cluster, or of a file with its manifest.
func (c Cluster) ruleOf(ctx context.Context, from string) (rule, error) {
	b, err := readManifest(from)
	if kind, name, ok := strings.Cut(from, "/"); ok && errors.Is(err, os.ErrNotExist) && kindOf(kind) != "" {
		var object json.RawMessage

		err = c.get(ctx, &object, []string{kindOf(kind), "-o", "json"}, []string{name})
		b = object
	}

	if err != nil {
		return rule{}, err
	}

	r, err := readRule(b)
	if err != nil {
		return rule{}, fmt.Errorf("%s: %w", from, err)
	}

	return r, nil
}

func readManifest(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the policy: %w", err)
	}
	defer f.Close() // It was only read.

	return readAll(f)
}

// readRule reads the first manifest of a pool's in a file.
func readRule(b []byte) (rule, error) {
	for d := yaml.NewDecoder(bytes.NewReader(b)); ; {
		var m manifest

		switch err := d.Decode(&m); {
		case errors.Is(err, io.EOF):
			return rule{}, errors.New("there is no AIDispatcher and no AgentScaler in it")
		case err != nil:
			return rule{}, fmt.Errorf("cannot read it: %w", err)
		}

		if m.Kind == "AIDispatcher" || m.Kind == "AgentScaler" {
			return m.rule()
		}
	}
}

func (m manifest) rule() (rule, error) {
	r := rule{namespace: m.Metadata.Namespace, name: m.Metadata.Name, size: 1, queries: map[string]string{}}
	s, size, budget := m.Spec.Scaling, m.Spec.Replicas, m.Spec.TokenBudget.TokensPerMinute

	if m.Kind == "AgentScaler" {
		p := m.Spec.ForProvider
		s, size, budget = &p.scaling, p.Replicas, p.TokensPerMinute
		s.MinReplicas, s.MaxReplicas, s.Metrics = s.MinReplicaCount, s.MaxReplicaCount, s.Triggers
	} else if s != nil && len(s.Metrics) == 0 {
		s.Metrics = []metric{{Type: "QueueDepth", Target: scale.DefaultQueueDepth}}
	}

	if s == nil || len(s.Metrics) == 0 {
		return rule{}, fmt.Errorf("the size of %s %s does not follow a load: it has no scaling", m.Kind, r.name)
	}

	if size != nil {
		r.size = *size
	}

	r.interval = defaultInterval
	if s.PollingInterval != nil {
		r.interval = time.Duration(max(*s.PollingInterval, 1)) * time.Second
	}

	r.policy.TokensPerMinute = float64(budget)

	err := r.read(s)

	return r, err
}

// read reads the policy.
func (r *rule) read(s *scaling) error {
	p := &r.policy
	p.Min, p.Max, p.Window, p.MaxAge = 1, defaultMax, defaultWindow, time.Hour

	if s.MinReplicas != nil {
		p.Min = max(*s.MinReplicas, 1)
	}

	if s.MaxReplicas != nil {
		p.Max = *s.MaxReplicas
	}

	if p.Min > p.Max {
		return fmt.Errorf("the least size (%d) must not be larger than the largest (%d)", p.Min, p.Max)
	}

	for _, m := range s.Metrics {
		if m.Target < 1 {
			return fmt.Errorf("the target of %s is %d and must be at least 1", cmp.Or(m.Type, "a metric"), m.Target)
		}

		p.Metrics = append(p.Metrics, scale.Metric{Name: m.Type, Target: float64(m.Target)})
		r.queries[m.Type] = cmp.Or(m.Query, r.query(m.Type))
	}

	if w := s.ScaleDown.StabilizationSeconds; w != nil {
		p.Window = time.Duration(*w) * time.Second
	}

	if s.ScaleUp.MaxStep > 0 {
		p.OutStep, p.Panic = s.ScaleUp.MaxStep, panicAt
	}

	if f := s.Fallback; f != nil {
		p.Fallback = &scale.Fallback{After: time.Duration(f.AfterSeconds) * time.Second, Replicas: f.Replicas}
	}

	for _, c := range s.Schedules {
		at, err := scale.ParseSchedule(c.Schedule, c.TimeZone, time.Duration(c.DurationSeconds)*time.Second, c.MinReplicas)
		if err != nil {
			return err
		}

		p.Schedules = append(p.Schedules, at)
	}

	r.size = min(max(r.size, p.Min), p.Max)

	return nil
}

// query returns PromQL for a load of the pool as its workers tell it, empty for one that they do not.
func (r *rule) query(load string) string {
	of := fmt.Sprintf("{%s=%q,%s=%q}", monitorapi.LabelNamespace, r.namespace, monitorapi.LabelDispatcherName, r.name)

	switch load {
	case "QueueDepth":
		return fmt.Sprintf("sum(%s%s)", monitorapi.MetricQueueDepth, of)
	case "PendingTasks":
		return fmt.Sprintf("clamp_min(sum(%s%s) - sum(%s%s), 0)", monitorapi.MetricQueueDepth, of, monitorapi.MetricTasksInFlight, of)
	case "TokensPerMinute":
		return fmt.Sprintf("60 * sum(rate(%s%s[2m]))", monitorapi.MetricTokens, of)
	default:
		return ""
	}
}

// kindOf returns the kind that people mean by a word, as kubectl names it; empty for none of a pool.
func kindOf(word string) string {
	switch strings.ToLower(word) {
	case "ad", "aidispatcher", "aidispatchers":
		return "aidispatchers.southwest.ai"
	case "agentscaler", "agentscalers":
		return "agentscalers.agent.southwest.ai"
	default:
		return ""
	}
}
