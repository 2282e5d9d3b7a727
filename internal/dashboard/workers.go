package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// shown is how many workers and slots a page lists, and asked how many workers of a pool are asked for what they do.
	shown = 200
	asked = 100
	// askers is how many are asked at once.
	askers = 16
	// workersFor is how long what they said serves all readers with the same rights, and maxAsked of how many pools it is kept.
	workersFor = 3 * time.Second
	maxAsked   = 64
)

// Monitors ask workers.
type Monitors interface {
	Status(ctx context.Context, pod, ip string) (monitorapi.Status, error)
}

// A workerRow is a slot, with the worker that holds it, or a worker without a slot.
type workerRow struct {
	Slot, Epoch string
	Worker      string
	State       string
	// Tone is how it should strike the eye.
	Tone string
	// InFlight and Depth are its tasks, and Tokens what it used; unknown ones are.
	InFlight, Depth, Tokens int64
	// Checkpoint is the newest that is known of the slot, as EPOCH-SEQUENCE, and Saved when it was made.
	Checkpoint string
	Saved      *time.Time
	// Note says what is the matter, in a sentence.
	Note string

	order int
}

// workers are a pool's workers and slots, the first of them, and how many were left out.
type workers struct {
	Rows    []workerRow
	LeftOut int
	// Problem says why slots are not known; empty where they are, or where there are none.
	Problem string
}

// A sees is what a reader may read beside a pool's pods: its scaler, its ledger of slots, and what its monitors say.
type sees struct{ Scaler, Slots, Monitors bool }

// All says that nothing is kept from the reader.
func (s sees) All() bool { return s.Scaler && s.Slots && s.Monitors }

// A looked is what is kept for readers: of a pool, for those who may read the same of it.
type looked struct {
	pool types.NamespacedName
	sees sees
}

// workersOf returns a pool's workers: those that there are from the cache, who holds which slot from the ledger, what was saved by who is gone
// from the scaler, and what each does from itself; the latter three for who may read them.
func (s *Server) workersOf(ctx context.Context, pool types.NamespacedName, scaler *v1alpha1.AgentScaler, may sees) (workers, error) {
	key := looked{pool, may}
	if v, ok := s.seen.Get(key); ok {
		if w, ok := v.(workers); ok {
			return w, nil
		}
	}

	pods := &corev1.PodList{}
	// What is read is not changed, so the cache need not copy it.
	if err := s.cache.List(ctx, pods, client.InNamespace(pool.Namespace), client.MatchingLabels{monitorapi.LabelDispatcher: pool.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return workers{}, fmt.Errorf("cannot list the workers: %w", err)
	}

	var out workers

	ledger := slot.Ledger{}

	if may.Slots && scaler != nil {
		var err error
		if ledger, err = slot.Read(ctx, s.live, pool.Namespace, scaler.Spec.ForProvider.ScaleTargetRef.Name); err != nil {
			out.Problem = "The slots cannot be read: " + err.Error()
		}
	}

	// Whether a slot without a worker is hibernated, or held again, is told by the ledger alone.
	if !may.Scaler || !may.Slots || out.Problem != "" {
		scaler = nil
	}

	out.Rows = rowsOf(pods.Items, ledger, removedOf(scaler))
	out.LeftOut = max(0, len(out.Rows)-shown)
	out.Rows = out.Rows[:len(out.Rows)-out.LeftOut]

	if may.Monitors {
		s.ask(ctx, out.Rows, pods.Items)
	}

	s.seen.Add(key, out, workersFor)

	return out, nil
}

// removedOf returns the last removal of each slot that saved its state.
func removedOf(s *v1alpha1.AgentScaler) map[int]v1alpha1.RemovedWorker {
	out := map[int]v1alpha1.RemovedWorker{}
	if s == nil {
		return out
	}

	for _, d := range s.Status.AtProvider.Decisions {
		for _, r := range d.Removed {
			if r.Slot == nil || r.Checkpoint == "" {
				continue
			}

			if n := int(*r.Slot); out[n].Time.Time.Before(r.Time.Time) {
				out[n] = r
			}
		}
	}

	return out
}

// rowsOf joins workers and slots: slots in their order, then workers without one.
func rowsOf(pods []corev1.Pod, l slot.Ledger, removed map[int]v1alpha1.RemovedWorker) []workerRow {
	var rows []workerRow

	claims, held, there := map[string]slot.Claim{}, map[int]bool{}, map[string]bool{}
	for _, c := range l.Claims {
		claims[c.UID] = c
		held[c.Slot] = true
	}

	for i := range pods {
		p := &pods[i]
		there[string(p.UID)] = true
		r := newRow(p.Name)
		r.State, r.Tone, r.Note = stateOf(p)

		if c, ok := claims[string(p.UID)]; ok {
			r.Slot, r.Epoch, r.order = strconv.Itoa(c.Slot), strconv.FormatInt(c.Epoch, 10), c.Slot
		}

		rows = append(rows, r)
	}

	for _, c := range l.Claims {
		if !there[c.UID] {
			r := newRow(c.Pod)
			r.Slot, r.Epoch, r.order = strconv.Itoa(c.Slot), strconv.FormatInt(c.Epoch, 10), c.Slot
			r.State, r.Tone, r.Note = "Gone", toneWarn, "its worker is gone, and the slot is about to be free"
			rows = append(rows, r)
		}
	}

	rows = append(rows, hibernated(l, held, removed)...)
	slices.SortFunc(rows, func(a, b workerRow) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Worker, b.Worker))
	})

	return rows
}

// hibernated returns the slots with a state and no worker.
func hibernated(l slot.Ledger, held map[int]bool, removed map[int]v1alpha1.RemovedWorker) []workerRow {
	all := slices.Clone(l.Kept)
	for n := range removed {
		all = append(all, n)
	}

	slices.Sort(all)

	var rows []workerRow

	for _, n := range slices.Compact(all) {
		if held[n] {
			continue
		}

		r := newRow("")
		r.Slot, r.order, r.State, r.Tone = strconv.Itoa(n), n, "Hibernated", toneIdle

		if last, ok := removed[n]; ok {
			_, r.Checkpoint = cutSlot(last.Checkpoint)
			r.Saved = &last.Time.Time
		}

		rows = append(rows, r)
	}

	return rows
}

// lastOrder is that of workers without a slot.
const lastOrder = 1 << 30

func newRow(worker string) workerRow {
	return workerRow{Worker: worker, InFlight: unknown, Depth: unknown, Tokens: unknown, order: lastOrder}
}

// stateOf says in a word what a worker does as far as its pod tells.
func stateOf(p *corev1.Pod) (state, tone, note string) {
	switch {
	case p.DeletionTimestamp != nil:
		return "Ending", toneBusy, ""
	case len(p.Spec.SchedulingGates) > 0:
		for _, c := range p.Status.Conditions {
			if c.Message != "" {
				return "Waiting", toneWarn, c.Message
			}
		}

		return "Waiting", toneWarn, "it waits for a slot"
	case p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded:
		return "Ended", toneIdle, ""
	case p.Status.Phase != corev1.PodRunning:
		return "Starting", toneBusy, ""
	default:
		return "Running", toneGood, ""
	}
}

// ask asks the workers of rows what they do, the first of them. Who does not answer says so.
func (s *Server) ask(ctx context.Context, rows []workerRow, pods []corev1.Pod) {
	ips := map[string]string{}

	for i := range pods {
		if p := &pods[i]; p.Status.Phase == corev1.PodRunning && p.Status.PodIP != "" {
			ips[p.Name] = p.Status.PodIP
		}
	}

	var (
		wg    sync.WaitGroup
		turns = make(chan struct{}, askers)
		left  = asked
	)

	for i := range rows {
		r := &rows[i]

		ip := ips[r.Worker]
		if ip == "" || left == 0 || ctx.Err() != nil {
			continue
		}

		left--
		turns <- struct{}{}

		wg.Go(func() {
			defer func() { <-turns }()

			said, err := s.monitors.Status(ctx, r.Worker, ip)
			if err != nil {
				r.Note, r.Tone = "its monitor does not answer", toneWarn

				return
			}

			r.hear(said)
		})
	}

	wg.Wait()
}

// hear takes down what a worker says of itself.
func (r *workerRow) hear(said monitorapi.Status) {
	switch {
	case said.State == monitorapi.StateDraining || said.State == monitorapi.StateDrained:
		r.State, r.Tone = string(said.State), toneBusy
	case !said.Ready:
		r.State, r.Tone = "Not ready", toneWarn
	case said.Tasks.InFlight != nil && *said.Tasks.InFlight > 0:
		r.State, r.Tone = "Working", toneGood
	default:
		r.State, r.Tone = "Idle", toneGood
	}

	r.Note = said.Reason

	if said.Tasks.Known {
		r.InFlight, r.Depth = figure(said.Tasks.InFlight), figure(said.Tasks.QueueDepth)
	} else {
		r.Note = cmp.Or(r.Note, said.Tasks.Reason, "its tasks are not known")
	}

	if t := said.Tokens; t != nil {
		r.Tokens = t.Input + t.Output
	}

	c := said.Checkpoint
	if c == nil {
		return
	}

	r.Checkpoint, r.Saved = c.Position, c.Time

	switch {
	case c.Fenced:
		r.Note, r.Tone = "another worker owns its slot: nothing of it is saved any more", toneBad
	case c.Failing != "":
		r.Note, r.Tone = "its state is not saved: "+c.Failing, toneBad
	}
}
