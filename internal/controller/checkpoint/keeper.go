package checkpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"gocloud.dev/blob"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// turn is the time between two looks at all repositories, and turnTimeout how long one of them may take.
	turn        = 30 * time.Second
	turnTimeout = 20 * time.Minute
	// keepers is how many repositories are looked after at once, askers how many workers are asked at once.
	keepers = 2
	askers  = 16
	// sweepEvery is the time between two sweeps of a repository.
	sweepEvery = 24 * time.Hour
	// keptEpochs is how many claims of a slot are left.
	keptEpochs = 8
	// askTimeout is how long a worker has to answer.
	askTimeout = 2 * time.Second
)

// The retention of a Checkpoint that says nothing of it.
var defaultRetain = cp.Retain{Last: 3, Hourly: 24, Daily: 7}

// A report is what the keeper has found out about one repository.
type report struct {
	at v1alpha1.CheckpointObservation
	// verified are the newest checkpoints, by slot, that were read back.
	verified map[string]cp.Position
	// damaged are the objects that were found corrupt, and in which slots they hurt.
	damaged map[string]map[string]bool
	cursor  cp.Cursor
	// found counts what this round of the scrub has found.
	found map[string]map[string]bool
	swept time.Time
	begun bool
}

// A Keeper looks after repositories: it reads new checkpoints back, removes what is kept no longer, and reads everything again
// now and then. Only the leader's works.
type Keeper struct {
	repos  *Repositories
	cache  client.Reader
	record event.Recorder
	log    logging.Logger
	now    func() time.Time
	client *http.Client

	mu      sync.Mutex
	reports map[types.NamespacedName]*report
}

func newKeeper(repos *Repositories, cache client.Reader, record event.Recorder, log logging.Logger) *Keeper {
	return &Keeper{
		repos: repos, cache: cache, record: record, log: log, now: time.Now,
		client:  &http.Client{Timeout: askTimeout, Transport: &http.Transport{DisableKeepAlives: true}},
		reports: map[types.NamespacedName]*report{},
	}
}

// NeedLeaderElection says that only one keeper may sweep.
func (k *Keeper) NeedLeaderElection() bool { return true }

// Start looks after all repositories until the context is done.
func (k *Keeper) Start(ctx context.Context) error {
	tick := time.NewTicker(turn)
	defer tick.Stop()

	for {
		k.all(ctx)

		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (k *Keeper) all(ctx context.Context) {
	l := &v1alpha1.CheckpointList{}
	if err := k.cache.List(ctx, l); err != nil {
		k.log.Info("Cannot list Checkpoints", "error", err)

		return
	}

	var (
		wg    sync.WaitGroup
		begin = make(chan struct{}, keepers)
	)

	for i := range l.Items {
		mg := &l.Items[i]
		if meta.WasDeleted(mg) || meta.IsPaused(mg) || mg.GetCondition(xpv2.TypeReady).Status != corev1.ConditionTrue {
			continue
		}

		begin <- struct{}{}

		wg.Go(func() {
			defer func() { <-begin }()

			one, cancel := context.WithTimeout(ctx, turnTimeout)
			defer cancel()

			if err := k.keep(one, mg); err != nil && ctx.Err() == nil {
				k.log.Info("Cannot look after the repository of a Checkpoint", "namespace", mg.GetNamespace(), "name", mg.GetName(), "error", err)
			}
		})
	}

	wg.Wait()
}

// keep looks after one repository. It is the only one that does so at a time.
func (k *Keeper) keep(ctx context.Context, mg *v1alpha1.Checkpoint) error {
	repo, err := k.repos.Repository(ctx, client.ObjectKeyFromObject(mg))
	if err != nil {
		return err
	}

	r := k.report(mg)

	// What an observer may not write to must be left as it is.
	writes := !observesOnly(mg)

	if writes && !r.begun {
		if err := repo.EndSweep(ctx); err != nil {
			return err
		}

		r.begun = true
	}

	sums, err := k.look(ctx, repo)
	if err != nil {
		return err
	}

	k.verify(ctx, mg, repo, r, sums)

	if writes {
		if err := k.tidy(ctx, mg, repo, r, sums); err != nil {
			return err
		}
	}

	if err := k.scrub(ctx, mg, repo, r); err != nil {
		return err
	}

	k.publish(r, sums)

	return nil
}

func observesOnly(mg *v1alpha1.Checkpoint) bool {
	p := mg.GetManagementPolicies()

	return len(p) > 0 && !slices.Contains(p, xpv2.ManagementActionAll) && !slices.Contains(p, xpv2.ManagementActionUpdate)
}

func (k *Keeper) report(mg *v1alpha1.Checkpoint) *report {
	k.mu.Lock()
	defer k.mu.Unlock()

	name := client.ObjectKeyFromObject(mg)
	if k.reports[name] == nil {
		k.reports[name] = &report{verified: map[string]cp.Position{}, damaged: map[string]map[string]bool{}, found: map[string]map[string]bool{}}
	}

	return k.reports[name]
}

func (k *Keeper) forget(name types.NamespacedName) {
	k.mu.Lock()
	defer k.mu.Unlock()

	delete(k.reports, name)
}

// look returns what each slot has.
func (k *Keeper) look(ctx context.Context, repo *cp.Repository) ([]cp.Summary, error) {
	slots, err := repo.Slots(ctx)
	if err != nil {
		return nil, err
	}

	out := make([]cp.Summary, 0, len(slots))

	for _, slot := range slots {
		s, err := repo.Summarize(ctx, slot)
		if err != nil {
			return nil, err
		}

		out = append(out, s)
	}

	return out, nil
}

// verify reads the newest checkpoint of each slot back, once. This is another process than the one that wrote it.
func (k *Keeper) verify(ctx context.Context, mg *v1alpha1.Checkpoint, repo *cp.Repository, r *report, sums []cp.Summary) {
	for _, s := range sums {
		if s.Newest == nil || r.verified[s.Slot] == s.Newest.Position {
			continue
		}

		err := repo.Verify(ctx, *s.Newest)

		switch {
		case err == nil:
			k.mu.Lock()
			r.verified[s.Slot] = s.Newest.Position
			k.mu.Unlock()
		case errors.Is(err, cp.ErrCorrupt), errors.Is(err, cp.ErrNotFound):
			k.hurt(mg, r, s.Slot+"/"+s.Newest.Position.String(), s.Slot, err)
		default:
			k.log.Debug("Cannot verify a checkpoint", "namespace", mg.GetNamespace(), "name", mg.GetName(), "error", err)
		}
	}
}

// hurt remembers what is corrupt, and says so once.
func (k *Keeper) hurt(mg *v1alpha1.Checkpoint, r *report, object, slot string, err error) {
	k.mu.Lock()
	known := r.damaged[object] != nil

	if !known {
		r.damaged[object] = map[string]bool{}
	}

	if slot != "" {
		r.damaged[object][slot] = true
	}
	k.mu.Unlock()

	if !known {
		k.record.Event(mg, event.Warning(eventCorrupt, errors.Wrapf(err, "%s is not what was written (slot %s)", object, slot)))
	}
}

// tidy removes what no rule keeps, and once a day what no checkpoint needs.
func (k *Keeper) tidy(ctx context.Context, mg *v1alpha1.Checkpoint, repo *cp.Repository, r *report, sums []cp.Summary) error {
	rules := retainOf(mg)

	for _, s := range sums {
		// Fewer are removed by no rule.
		if s.Checkpoints > rules.Last {
			if _, err := repo.Prune(ctx, s.Slot, rules); err != nil {
				return err
			}
		}
	}

	if !r.swept.IsZero() && k.now().Sub(r.swept) < sweepEvery {
		return nil
	}

	for _, s := range sums {
		if _, err := repo.PruneEpochs(ctx, s.Slot, keptEpochs); err != nil {
			return err
		}
	}

	done, err := repo.Sweep(ctx)
	if err != nil {
		return err
	}

	k.mu.Lock()
	defer k.mu.Unlock()

	if done.Left == 0 {
		r.swept = k.now()
		r.at.SweptTime = &metav1.Time{Time: r.swept}
	}

	r.at.StoredBytes = &done.Stored

	return nil
}

func retainOf(mg *v1alpha1.Checkpoint) cp.Retain {
	out := defaultRetain

	r := mg.Spec.ForProvider.Retain
	if r == nil {
		return out
	}

	// Who names one rule means it alone.
	out = cp.Retain{Last: 1}
	for from, to := range map[*int32]*int{r.Last: &out.Last, r.Hourly: &out.Hourly, r.Daily: &out.Daily} {
		if from != nil {
			*to = int(*from)
		}
	}

	return out
}

// scrub reads a portion of everything again, so that all of it is read in the time that is asked for.
func (k *Keeper) scrub(ctx context.Context, mg *v1alpha1.Checkpoint, repo *cp.Repository, r *report) error {
	hours := int32(168)
	if h := mg.Spec.ForProvider.ScrubHours; h != nil {
		hours = *h
	}

	if hours == 0 || r.at.StoredBytes == nil {
		return nil
	}

	portion := int64(float64(*r.at.StoredBytes)*turn.Hours()/float64(hours)) + 1

	done, cursor, err := repo.Scrub(ctx, r.cursor, portion)

	for _, d := range done.Damaged {
		for _, h := range d.Hurts {
			k.hurt(mg, r, d.Object, h.Slot, d.Err)
			r.found[d.Object] = map[string]bool{h.Slot: true}
		}

		if len(d.Hurts) == 0 {
			k.hurt(mg, r, d.Object, "", d.Err)
			r.found[d.Object] = map[string]bool{}
		}
	}

	if err != nil {
		return err
	}

	if r.cursor = cursor; cursor != "" {
		return nil
	}

	k.mu.Lock()
	defer k.mu.Unlock()

	// What was not found again in a whole round has been mended.
	maps.DeleteFunc(r.damaged, func(object string, _ map[string]bool) bool { return r.found[object] == nil })

	if r.found = map[string]map[string]bool{}; len(r.damaged) == 0 {
		r.at.ScrubbedTime = &metav1.Time{Time: k.now()}
	}

	return nil
}

// publish makes what was found what Observe tells.
func (k *Keeper) publish(r *report, sums []cp.Summary) {
	k.mu.Lock()
	defer k.mu.Unlock()

	var (
		slots, verified, corrupt int32
		checkpoints, bytes       int64
		newest, oldest           time.Time
	)

	r.at.Problems = nil

	for _, s := range sums {
		if s.Problem != nil && len(r.at.Problems) < 16 {
			r.at.Problems = append(r.at.Problems, v1alpha1.SlotObservation{Slot: s.Slot, Problem: s.Problem.Error()})
		}

		if s.Checkpoints == 0 {
			continue
		}

		slots++
		checkpoints += int64(s.Checkpoints)

		if s.Newest == nil {
			continue
		}

		bytes += s.Newest.Bytes

		if r.verified[s.Slot] == s.Newest.Position {
			verified++
		}

		if s.Newest.Time.After(newest) {
			newest = s.Newest.Time
		}

		if oldest.IsZero() || s.Oldest.Before(oldest) {
			oldest = s.Oldest
		}
	}

	corrupt = int32(len(r.damaged)) //nolint:gosec // There are not that many.
	r.at.Slots, r.at.Verified, r.at.Checkpoints, r.at.StateBytes, r.at.Corrupt = &slots, &verified, &checkpoints, &bytes, &corrupt
	r.at.NewestTime, r.at.OldestTime = timeOf(newest), timeOf(oldest)
}

func timeOf(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}

	return &metav1.Time{Time: t.Truncate(time.Second)}
}

// observe returns what was found out last, and what the workers say now.
func (k *Keeper) observe(ctx context.Context, mg *v1alpha1.Checkpoint) v1alpha1.CheckpointObservation {
	r := k.report(mg)

	k.mu.Lock()
	at := *r.at.DeepCopy()
	k.mu.Unlock()

	pods := &corev1.PodList{}
	if err := k.cache.List(ctx, pods, client.InNamespace(mg.GetNamespace()), client.MatchingLabels{v1alpha1.LabelCheckpoint: mg.GetName()}); err != nil {
		return at
	}

	var (
		bound = map[string]bool{}
		ips   []string
	)

	for i := range pods.Items {
		p := &pods.Items[i]

		slot, ok := p.Annotations[monitorapi.AnnotationSlot]
		if !ok || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}

		bound[slot] = true

		if p.Status.Phase == corev1.PodRunning {
			ips = append(ips, p.Status.PodIP)
		}
	}

	n := int32(len(bound)) //nolint:gosec // A pool has at most a thousand workers.
	at.Bound = &n

	if at.Slots != nil {
		// A slot that is bound may not have been saved yet.
		hibernated := max(0, *at.Slots-n)
		at.Hibernated = &hibernated
	}

	at.RPOMet = k.current(ctx, mg, ips)

	return at
}

// current asks the workers whether their state is in a checkpoint. It is not known while one of them does not say.
func (k *Keeper) current(ctx context.Context, mg *v1alpha1.Checkpoint, ips []string) *bool {
	interval := time.Minute
	if s := mg.Spec.ForProvider.IntervalSeconds; s != nil {
		interval = time.Duration(*s) * time.Second
	}

	var (
		wg    sync.WaitGroup
		begin = make(chan struct{}, askers)
		ages  = make([]*time.Duration, len(ips))
	)

	for i, ip := range ips {
		begin <- struct{}{}

		wg.Go(func() {
			defer func() { <-begin }()

			ages[i] = k.ask(ctx, ip)
		})
	}

	wg.Wait()

	met := true

	for _, age := range ages {
		if age == nil {
			return nil
		}

		met = met && *age <= 2*interval
	}

	return &met
}

// ask returns how long ago a worker's state was in a checkpoint, nil if it does not say. One that has just begun has that long
// nothing to lose.
func (k *Keeper) ask(ctx context.Context, ip string) *time.Duration {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(ip, strconv.Itoa(monitorapi.Port))+monitorapi.PathStatus, nil)
	if err != nil {
		return nil
	}

	rsp, err := k.client.Do(req)
	if err != nil {
		return nil
	}
	defer rsp.Body.Close() // It was only read.

	var s monitorapi.Status
	if err := json.NewDecoder(io.LimitReader(rsp.Body, 1<<20)).Decode(&s); err != nil || s.Checkpoint == nil {
		return nil
	}

	at := s.StartedAt
	if c := s.Checkpoint.CurrentAt; c != nil {
		at = *c
	}

	age := k.now().Sub(at)

	return &age
}

// conditions returns what is to be said of a repository beside that it is there.
func conditions(mg *v1alpha1.Checkpoint) []xpv2.Condition {
	at := mg.Status.AtProvider
	cond := func(t xpv2.ConditionType, s corev1.ConditionStatus, r xpv2.ConditionReason, message string) xpv2.Condition {
		return xpv2.Condition{Type: t, Status: s, Reason: r, Message: message, LastTransitionTime: metav1.Now()}
	}

	var out []xpv2.Condition

	switch {
	case at.Corrupt == nil:
		out = append(out, cond(v1alpha1.ConditionIntact, corev1.ConditionUnknown, v1alpha1.ReasonUnknown, "Nothing was read back yet"))
	case *at.Corrupt > 0:
		out = append(out, cond(v1alpha1.ConditionIntact, corev1.ConditionFalse, v1alpha1.ReasonCorrupt, fmt.Sprintf("%d objects are lost or are not what was written: see the events", *at.Corrupt)))
	default:
		out = append(out, cond(v1alpha1.ConditionIntact, corev1.ConditionTrue, v1alpha1.ReasonIntact, ""))
	}

	switch {
	case at.RPOMet == nil:
		out = append(out, cond(v1alpha1.ConditionRPOMet, corev1.ConditionUnknown, v1alpha1.ReasonUnknown, "Not all workers say how old their newest checkpoint is"))
	case *at.RPOMet:
		out = append(out, cond(v1alpha1.ConditionRPOMet, corev1.ConditionTrue, v1alpha1.ReasonCurrent, ""))
	default:
		out = append(out, cond(v1alpha1.ConditionRPOMet, corev1.ConditionFalse, v1alpha1.ReasonBehind, "A worker's state was in no checkpoint for more than two intervals: see its log"))
	}

	if q := mg.Spec.ForProvider.Quota; q != nil && at.StoredBytes != nil {
		if *at.StoredBytes > q.Value() {
			out = append(out, cond(v1alpha1.ConditionWithinQuota, corev1.ConditionFalse, v1alpha1.ReasonQuotaExceeded, fmt.Sprintf("The repository takes more than %s: keep fewer checkpoints, or raise the quota", q)))
		} else {
			out = append(out, cond(v1alpha1.ConditionWithinQuota, corev1.ConditionTrue, v1alpha1.ReasonWithinQuota, ""))
		}
	}

	return out
}

// removeAll deletes all objects of a bucket, pool.json last: as long as it is there, it is known what the rest is.
func removeAll(ctx context.Context, b *blob.Bucket) error {
	const pool = "pool.json"

	for {
		page, _, err := b.ListPage(ctx, blob.FirstPageToken, 1000, nil)
		if err != nil {
			return errors.Wrap(err, "cannot list the objects")
		}

		left := 0

		for _, o := range page {
			if o.Key == pool {
				continue
			}

			left++

			if err := b.Delete(ctx, o.Key); err != nil {
				return errors.Wrap(err, "cannot delete an object")
			}
		}

		if left > 0 {
			continue
		}

		if len(page) == 0 {
			return nil
		}

		if err := b.Delete(ctx, pool); err != nil {
			return errors.Wrap(err, "cannot delete the last object")
		}
	}
}
