package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// assemble puts a pool together from its objects.
func assemble(p claimed, objects map[string][]object, refused map[string]error, said map[string]monitorapi.Status, now time.Time) Node {
	root := Node{Kind: "AIDispatcher", Name: p.Metadata.Namespace + "/" + p.Metadata.Name, Says: strings.TrimSuffix(p.Status.CurrentPhase+", "+p.Status.State, ", ")}
	root.Wrong = wrongConditions(p.Status.Conditions)

	if p.Status.CurrentPhase == "" {
		root.Wrong = append(root.Wrong, "it has no status yet: is Crossplane running, and is there a Composition for it?")
	}

	for _, o := range objects["vectorcollections.agent.southwest.ai"] {
		root.Parts = append(root.Parts, managed(o, o.Status.AtProvider.Collection))
	}

	for _, o := range objects["checkpoints.agent.southwest.ai"] {
		root.Parts = append(root.Parts, repository(o, now))
	}

	for _, o := range objects["agentscalers.agent.southwest.ai"] {
		root.Parts = append(root.Parts, sizer(o))
	}

	workers := traced(objects["pods"], said, now)

	for _, o := range objects["deployments.apps"] {
		n := deployment(o)
		n.Parts, workers = workers, nil
		root.Parts = append(root.Parts, n)
	}

	// Workers that have left their Deployment, or whose Deployment cannot be read.
	root.Parts = append(root.Parts, workers...)

	for _, kind := range slices.Sorted(maps.Keys(refused)) {
		root.Parts = append(root.Parts, Node{Kind: kind, Name: "?", Wrong: []string{"cannot be read: " + refused[kind].Error()}})
	}

	return root
}

// fine are reasons of conditions that are False and as they should be.
var fine = []string{"Suspended", "FixedSize", "RecommendOnly"}

func wrongConditions(all []scalerCondition) []string {
	var out []string

	for _, c := range all {
		if c.Status == "False" && !slices.Contains(fine, c.Reason) {
			out = append(out, sentence(fmt.Sprintf("%s is False (%s)", c.Type, c.Reason), c.Message))
		}
	}

	return out
}

func sentence(what, why string) string {
	if why == "" {
		return what
	}

	return what + ": " + why
}

func managed(o object, says string) Node {
	n := Node{Kind: o.Kind, Name: o.Metadata.Name, Says: says, Wrong: wrongConditions(o.Status.Conditions)}
	if o.Metadata.DeletionTimestamp != nil {
		n.Says = strings.TrimPrefix(n.Says+", being deleted", ", ")
	}

	return n
}

func repository(o object, now time.Time) Node {
	at := o.Status.AtProvider
	n := managed(o, fmt.Sprintf("%s slots with a state, %s hibernated, newest %s old", figure(at.Slots), figure(at.Hibernated), ago(at.NewestTime, now)))

	if at.Corrupt != nil && *at.Corrupt > 0 {
		n.Wrong = append(n.Wrong, fmt.Sprintf("%d objects in the store are lost or not what was written", *at.Corrupt))
	}

	for _, p := range at.Problems {
		n.Wrong = append(n.Wrong, fmt.Sprintf("slot %s: %s", p.Slot, p.Problem))
	}

	return n
}

func sizer(o object) Node {
	at := o.Status.AtProvider
	n := managed(o, fmt.Sprintf("asks for %s, wants %s", figure(at.Replicas), figure(at.DesiredReplicas)))

	if at.Load != nil {
		for _, t := range at.Load.Triggers {
			if t.Unknown != "" {
				n.Wrong = append(n.Wrong, t.Type+" is not known: "+t.Unknown)
			}
		}
	}

	return n
}

func deployment(o object) Node {
	want := int64(1)
	if o.Spec.Replicas != nil {
		want = *o.Spec.Replicas
	}

	n := Node{Kind: o.Kind, Name: o.Metadata.Name, Says: fmt.Sprintf("%d of %d workers available, %d up to date", o.Status.AvailableReplicas, want, o.Status.UpdatedReplicas)}

	for _, c := range o.Status.Conditions {
		if c.Type == "Progressing" && c.Status == "False" || c.Type == "ReplicaFailure" && c.Status == "True" {
			n.Wrong = append(n.Wrong, sentence(c.Reason, c.Message))
		}
	}

	return n
}

// traced returns the workers, those with a slot first, in the order of their slots.
func traced(pods []object, said map[string]monitorapi.Status, now time.Time) []Node {
	slices.SortStableFunc(pods, func(a, b object) int {
		return cmp.Or(cmp.Compare(slotOf(a), slotOf(b)), cmp.Compare(a.Metadata.Name, b.Metadata.Name))
	})

	out := make([]Node, 0, len(pods))

	for _, p := range pods {
		n := worker(p)
		if s, ok := said[p.Metadata.Name]; ok {
			n.hear(s, now)
		}

		out = append(out, n)
	}

	return out
}

func slotOf(p object) int {
	if n, err := strconv.Atoi(p.Metadata.Annotations[monitorapi.AnnotationSlot]); err == nil {
		return n
	}

	return 1 << 30
}

// worker tells what a pod says of itself.
func worker(p object) Node {
	n := Node{Kind: "Pod", Name: p.Metadata.Name, Says: p.Status.Phase}
	a := p.Metadata.Annotations

	if slot := a[monitorapi.AnnotationSlot]; slot != "" {
		n.Says = fmt.Sprintf("slot %s under epoch %s, %s", slot, a[monitorapi.AnnotationEpoch], n.Says)
	}

	if p.Metadata.DeletionTimestamp != nil {
		n.Says += ", ending"
	} else if a[monitorapi.AnnotationDrain] != "" {
		n.Says += ", told to drain"
	}

	if len(p.Spec.SchedulingGates) > 0 {
		n.Says = "waits for a slot"
	}

	for _, c := range p.Status.Conditions {
		// A worker that waits says why, unless it has only just come.
		if c.Status == "False" && c.Message != "" && (c.Type == "southwest.ai/slot" || c.Type == "PodScheduled" && len(p.Spec.SchedulingGates) == 0) {
			n.Wrong = append(n.Wrong, sentence(c.Reason, c.Message))
		}
	}

	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		n.Wrong = append(n.Wrong, c.wrong()...)
	}

	return n
}

// Containers that wait for these have just come.
var coming = []string{"", "ContainerCreating", "PodInitializing"}

func (c containerStatus) wrong() []string {
	if w := c.State.Waiting; w != nil && !slices.Contains(coming, w.Reason) {
		why := w.Message
		if t := c.LastState.Terminated; t != nil && t.Message != "" {
			why = strings.TrimSpace(t.Message)
		}

		return []string{sentence(fmt.Sprintf("container %s waits (%s)", c.Name, w.Reason), why)}
	}

	if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
		return []string{sentence(fmt.Sprintf("container %s ended with %d (%s)", c.Name, t.ExitCode, t.Reason), strings.TrimSpace(t.Message))}
	}

	if t := c.LastState.Terminated; t != nil && t.Reason == "OOMKilled" {
		return []string{fmt.Sprintf("container %s was ended %d times, last for its memory: raise its limit in the catalog", c.Name, c.RestartCount)}
	}

	return nil
}

// hear takes down what a worker's monitor says.
func (n *Node) hear(s monitorapi.Status, now time.Time) {
	n.Says += ", " + string(s.State)

	if f := s.Tasks.InFlight; f != nil {
		n.Says += fmt.Sprintf(", %d in flight", *f)
	}

	if !s.Tasks.Known {
		n.Wrong = append(n.Wrong, sentence("its tasks are not known", s.Tasks.Reason))
	}

	c := s.Checkpoint
	if c == nil {
		return
	}

	if c.Position != "" {
		n.Parts = append(n.Parts, Node{Kind: "checkpoint", Name: s.Slot + "/" + c.Position, Says: fmt.Sprintf("%s old, %d files, %s", ago(c.Time, now), c.Files, size(c.Bytes))})
	}

	if c.Fenced {
		n.Wrong = append(n.Wrong, "another worker owns its slot: nothing of it is saved any more")
	}

	if c.Failing != "" {
		n.Wrong = append(n.Wrong, "its state is not saved: "+c.Failing)
	}
}
