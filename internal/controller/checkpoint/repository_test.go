package checkpoint

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a keeper, with a clock of its own, over real repositories in memory.
type world struct {
	*Keeper

	kube  client.Client
	repos map[string]*watched

	mu     sync.Mutex
	time   time.Time
	events []string
}

// newWorld returns a world with a Checkpoint and a repository for each name.
func newWorld(t *testing.T, names ...string) *world {
	t.Helper()

	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}

	w := &world{repos: map[string]*watched{}, time: time.Now()}
	b := fake.NewClientBuilder().WithScheme(s)

	for _, name := range names {
		w.repos[name] = newWatched(t)
		b = b.WithObjects(newReady(name))
	}

	w.kube = b.Build()
	w.Keeper = newKeeper(nil, w.kube, w, logging.NewNopLogger(), Options{Metrics: NewMetrics(), Turn: time.Millisecond})
	w.open = func(_ context.Context, name types.NamespacedName) (repository, error) { return w.repos[name.Name], nil }
	w.now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()

		return w.time
	}

	return w
}

func newReady(name string) *v1alpha1.Checkpoint {
	mg := &v1alpha1.Checkpoint{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	mg.SetConditions(xpv2.Available())

	return mg
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.time = w.time.Add(d)
}

// Event remembers an event.
func (w *world) Event(_ runtime.Object, e event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.events = append(w.events, string(e.Reason)+": "+e.Message)
}

// WithAnnotations has nothing to annotate.
func (w *world) WithAnnotations(...string) event.Recorder { return w }

// turns lets a repository have some turns, as its only keeper, each a while after the one before.
func (w *world) turns(t *testing.T, name string, n int, apart time.Duration) {
	t.Helper()

	mg := w.get(t, name)

	for range n {
		w.pass(apart)

		if err := w.keep(t.Context(), mg, w.report(mg)); err != nil {
			t.Fatalf("cannot keep: %v", err)
		}
	}
}

func (w *world) get(t *testing.T, name string) *v1alpha1.Checkpoint {
	t.Helper()

	mg := &v1alpha1.Checkpoint{}
	if err := w.kube.Get(t.Context(), types.NamespacedName{Namespace: "ns", Name: name}, mg); err != nil {
		t.Fatal(err)
	}

	return mg
}

// at returns what the keeper has found out.
func (w *world) at(t *testing.T, name string) v1alpha1.CheckpointObservation {
	t.Helper()

	at, _, err := w.observe(t.Context(), w.get(t, name))
	if err != nil {
		t.Fatal(err)
	}

	return at
}

// A watched repository is a real one in memory that counts what is done in it at a time, and may hold what is.
type watched struct {
	*cp.Repository
	bucket *blob.Bucket

	// later is by how much the repository's clock is ahead, so that its chunks are old.
	later time.Duration

	// hold is called in each call that reads or removes, and may wait.
	hold func(ctx context.Context, call string) error

	mu sync.Mutex
	// calls counts those that have begun, by name; now are those that go on, and most the most of them at a time.
	calls     map[string]int
	now, most int
}

func newWatched(t *testing.T) *watched {
	t.Helper()

	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = b.Close() })

	w := &watched{bucket: b, calls: map[string]int{}, hold: func(context.Context, string) error { return nil }}
	o := cp.Options{Pause: time.Millisecond, Now: func() time.Time { return time.Now().Add(w.later) }}

	var err error
	if w.Repository, err = cp.Create(t.Context(), b, cp.NewDataKey(), cp.Pool{Chunker: cp.DefaultChunker(0x3DA3358B4DC173)}, o); err != nil {
		t.Fatal(err)
	}

	return w
}

func (w *watched) enter(ctx context.Context, call string) (func(), error) {
	w.mu.Lock()
	w.calls[call]++
	w.now++
	w.most = max(w.most, w.now)
	w.mu.Unlock()

	return func() {
		w.mu.Lock()
		w.now--
		w.mu.Unlock()
	}, w.hold(ctx, call)
}

func (w *watched) count(call string) int {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.calls[call]
}

func (w *watched) Slots(ctx context.Context) ([]string, error) {
	leave, err := w.enter(ctx, "Slots")
	defer leave()

	if err != nil {
		return nil, err
	}

	return w.Repository.Slots(ctx)
}

func (w *watched) Verify(ctx context.Context, m cp.Manifest) error {
	leave, err := w.enter(ctx, "Verify")
	defer leave()

	if err != nil {
		return err
	}

	return w.Repository.Verify(ctx, m)
}

func (w *watched) Sweep(ctx context.Context) (cp.Swept, error) {
	leave, err := w.enter(ctx, "Sweep")
	defer leave()

	if err != nil {
		return cp.Swept{}, err
	}

	return w.Repository.Sweep(ctx)
}

func (w *watched) EndSweep(ctx context.Context) error {
	leave, err := w.enter(ctx, "EndSweep")
	defer leave()

	if err != nil {
		return err
	}

	return w.Repository.EndSweep(ctx)
}

func (w *watched) Prune(ctx context.Context, slot string, rules cp.Retain) ([]cp.Position, error) {
	leave, err := w.enter(ctx, "Prune")
	defer leave()

	if err != nil {
		return nil, err
	}

	return w.Repository.Prune(ctx, slot, rules)
}

func (w *watched) Scrub(ctx context.Context, from cp.Cursor, budget int64) (cp.Scrubbed, cp.Cursor, error) {
	leave, err := w.enter(ctx, "Scrub")
	defer leave()

	if err != nil {
		return cp.Scrubbed{}, from, err
	}

	return w.Repository.Scrub(ctx, from, budget)
}

// save saves a state of one chunk in a slot, which it claims first, and returns the chunk's name with the manifest.
func (w *watched) save(t *testing.T, slot string, text string) (cp.Manifest, string) {
	t.Helper()

	e, err := w.Claim(t.Context(), slot, "test")
	if err != nil {
		t.Fatal(err)
	}

	s, err := w.Session(t.Context(), slot, e.Epoch)
	if err != nil {
		t.Fatal(err)
	}

	id, err := s.Put(t.Context(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}

	m, err := s.Commit(t.Context(), cp.Save{Reason: "Test", Tree: []cp.ID{id}, Files: 1, Bytes: int64(len(text))})
	if err != nil {
		t.Fatal(err)
	}

	return m, "chunks/" + id.String()[:2] + "/" + id.String()
}

// spoil turns a bit of an object over.
func (w *watched) spoil(t *testing.T, name string) {
	t.Helper()

	b, err := w.bucket.ReadAll(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}

	b[len(b)-1] ^= 1

	if err := w.bucket.WriteAll(t.Context(), name, b, nil); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until what returns "".
func eventually(t *testing.T, what func() string) {
	t.Helper()

	deadline := time.Now().Add(30 * time.Second)

	for {
		last := what()
		if last == "" {
			return
		}

		if time.Now().After(deadline) {
			t.Fatal(last)
		}

		<-time.After(time.Millisecond)
	}
}

var errUnreached = errors.New("the store is not reached")

func named(events []string, text string) bool {
	for _, e := range events {
		if strings.Contains(e, text) {
			return true
		}
	}

	return false
}

// gathered returns the values of metrics by name and labels, of a histogram how often it was observed.
func gathered(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()

	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(m); err != nil {
		t.Fatal(err)
	}

	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}

	out := map[string]float64{}

	for _, f := range all {
		for _, s := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "aidispatcher_checkpoint_")

			var labels []string
			for _, l := range s.GetLabel() {
				labels = append(labels, l.GetValue())
			}

			if len(labels) > 0 {
				name += "{" + strings.Join(labels, " ") + "}"
			}

			out[name] = s.GetCounter().GetValue() + s.GetGauge().GetValue() + float64(s.GetHistogram().GetSampleCount())
		}
	}

	return out
}
