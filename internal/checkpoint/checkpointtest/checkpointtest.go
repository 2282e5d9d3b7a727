// Package checkpointtest holds a store against all that the checkpoint format needs of one. It must not know which store it is.
package checkpointtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

const (
	// writers at the same moment, and how often they race.
	writers, races = 8, 20
	// timeout bounds each test, on a store far away as well.
	timeout = 5 * time.Minute
)

// A Store is what is tested.
type Store struct {
	// Open returns a bucket with nothing in it, which the test that opens it closes.
	Open func(t *testing.T) *blob.Bucket
	// OneWriter leaves out what only a store does that is fit for two writers at once.
	OneWriter bool
}

// Run runs all tests.
func (s Store) Run(t *testing.T) {
	t.Helper()
	tests := map[string]func(context.Context, *testing.T, *blob.Bucket){
		"Empty": empty, "ConditionalCreate": conditionalCreate, "ReadAfterWrite": readAfterWrite, "ListAfterWrite": listAfterWrite,
		"Pages": pages, "Names": objectNames, "BigObject": bigObject, "CutUpload": cutUpload, "Age": age, "Probe": probe, "Repository": repository,
	}
	if !s.OneWriter {
		tests["CreateRaces"], tests["ClaimRaces"] = createRaces, claimRaces
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			b := s.Open(t)
			defer b.Close()
			test(ctx, t, b)
		})
	}
}

func put(ctx context.Context, b *blob.Bucket, name, text string, ifNotExist bool) error {
	return b.WriteAll(ctx, name, []byte(text), &blob.WriterOptions{IfNotExist: ifNotExist, ContentType: "application/octet-stream"})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, what string, err error, want gcerrors.ErrorCode) {
	t.Helper()
	if got := gcerrors.Code(err); got != want {
		t.Errorf("%s: got %v (%v), want %v", what, got, err, want)
	}
}

func wantRead(ctx context.Context, t *testing.T, b *blob.Bucket, name, want string) {
	t.Helper()
	got, err := b.ReadAll(ctx, name)
	if err != nil || string(got) != want {
		t.Errorf("read of %s: got %.40q, %v, want %.40q", name, got, err, want)
	}
}

func list(ctx context.Context, t *testing.T, b *blob.Bucket, o blob.ListOptions) []string {
	t.Helper()
	out := []string{}
	token := blob.FirstPageToken
	for len(token) > 0 {
		page, next, err := b.ListPage(ctx, token, 1000, &o)
		if gcerrors.Code(err) == gcerrors.NotFound {
			return out // A store of directories may say so.
		}
		must(t, err)
		for _, p := range page {
			out = append(out, p.Key)
		}
		token = next
	}
	return out
}

func empty(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	_, err := b.ReadAll(ctx, "pool.json")
	wantCode(t, "read of what is not there", err, gcerrors.NotFound)
	_, err = b.Attributes(ctx, "pool.json")
	wantCode(t, "attributes of what is not there", err, gcerrors.NotFound)
	wantCode(t, "delete of what is not there", b.Delete(ctx, "pool.json"), gcerrors.NotFound)
	if got := list(ctx, t, b, blob.ListOptions{Prefix: "chunks/"}); len(got) > 0 {
		t.Errorf("a new bucket lists %q", got)
	}
}

func conditionalCreate(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	const name = "slots/0/epochs/0000000001.json"
	must(t, put(ctx, b, name, "first", true))
	wantCode(t, "create of what is there", put(ctx, b, name, "second", true), gcerrors.FailedPrecondition)
	wantRead(ctx, t, b, name, "first")
	must(t, put(ctx, b, name, "third", false))
	wantRead(ctx, t, b, name, "third")
	must(t, b.Delete(ctx, name))
	must(t, put(ctx, b, name, "fourth", true))
	wantRead(ctx, t, b, name, "fourth")
}

// Of writers that create the same name at the same moment one wins, and the others know that they did not.
func createRaces(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	for race := range races {
		name := fmt.Sprintf("slots/0/epochs/%010d.json", race+1)
		var won atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				text := fmt.Sprintf("writer %d of race %d", w, race)
				if put(ctx, b, name, text, true) == nil {
					won.Add(1)
					winner.Store(text)
				}
			})
		}
		wg.Wait()
		if n := won.Load(); n != 1 {
			t.Fatalf("race %d has %d winners", race, n)
		}
		wantRead(ctx, t, b, name, fmt.Sprint(winner.Load()))
	}
}

func readAfterWrite(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	for n := range 50 {
		text := fmt.Sprint("write ", n)
		must(t, put(ctx, b, "pool.json", text, false))
		wantRead(ctx, t, b, "pool.json", text)
	}
	must(t, b.Delete(ctx, "pool.json"))
	_, err := b.ReadAll(ctx, "pool.json")
	wantCode(t, "read of what was removed", err, gcerrors.NotFound)
}

func listAfterWrite(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	want := []string{}
	const prefix = "slots/0/manifests/"
	for n := range 30 {
		name := fmt.Sprintf("%s%010d-%010d.json", prefix, 1+n%3, 1+n)
		must(t, put(ctx, b, name, "x", true))
		want = append(want, name)
		slices.Sort(want)
		if diff := cmp.Diff(want, list(ctx, t, b, blob.ListOptions{Prefix: prefix})); diff != "" {
			t.Fatalf("after a write: -want, +got:\n%s", diff)
		}
	}
	for len(want) > 0 {
		must(t, b.Delete(ctx, want[0]))
		want = want[1:]
		if diff := cmp.Diff(want, list(ctx, t, b, blob.ListOptions{Prefix: prefix})); diff != "" {
			t.Fatalf("after a removal: -want, +got:\n%s", diff)
		}
	}
}

// A listing longer than a page is whole and in the order of names.
func pages(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	const objects = 1205
	want := make([]string, objects)
	for i := range want {
		want[i] = fmt.Sprintf("chunks/%02x/%064x", i%256, i)
	}
	var wg sync.WaitGroup
	var failed atomic.Value
	for w := range writers {
		wg.Go(func() {
			for i := w; i < objects; i += writers {
				if err := put(ctx, b, want[i], "x", false); err != nil {
					failed.Store(err)
				}
			}
		})
	}
	wg.Wait()
	if err, ok := failed.Load().(error); ok {
		t.Fatal(err)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, list(ctx, t, b, blob.ListOptions{Prefix: "chunks/"})); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

func objectNames(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	all := []string{"pool.json", "slots/0/epochs/0000000001.json", "slots/1/epochs/0000000001.json", "slots/10/epochs/0000000001.json", "slots/a-b/epochs/0000000001.json"}
	for _, name := range all {
		must(t, put(ctx, b, name, name, true))
	}
	for _, name := range all {
		wantRead(ctx, t, b, name, name)
	}
	got := list(ctx, t, b, blob.ListOptions{Prefix: "slots/", Delimiter: "/"})
	slices.Sort(got)
	if diff := cmp.Diff([]string{"slots/0/", "slots/1/", "slots/10/", "slots/a-b/"}, got); diff != "" {
		t.Errorf("directories: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"slots/1/epochs/0000000001.json"}, list(ctx, t, b, blob.ListOptions{Prefix: "slots/1/"})); diff != "" {
		t.Errorf("one directory: -want, +got:\n%s", diff)
	}
}

// The largest object of the format is a chunk that does not compress; a manifest may be larger still.
func bigObject(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	data := make([]byte, 4<<20)
	_, _ = rand.Read(data) // Never fails.
	must(t, b.WriteAll(ctx, "chunks/00/big", data, &blob.WriterOptions{ContentType: "application/octet-stream", MaxConcurrency: 1}))
	got, err := b.ReadAll(ctx, "chunks/00/big")
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("read of %d bytes: got %d, %v", len(data), len(got), err)
	}
	a, err := b.Attributes(ctx, "chunks/00/big")
	must(t, err)
	if a.Size != int64(len(data)) {
		t.Errorf("its size is %d, want %d", a.Size, len(data))
	}
}

// An upload that is given up leaves nothing, and leaves alone what is there.
func cutUpload(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	must(t, put(ctx, b, "chunks/00/there", "whole", false))
	for _, name := range []string{"chunks/00/there", "chunks/00/new"} {
		cut, cancel := context.WithCancel(ctx)
		w, err := b.NewWriter(cut, name, &blob.WriterOptions{ContentType: "application/octet-stream"})
		must(t, err)
		_, err = w.Write([]byte("half"))
		must(t, err)
		cancel()
		if err := w.Close(); err == nil {
			t.Errorf("an upload that was given up has no error")
		}
	}
	wantRead(ctx, t, b, "chunks/00/there", "whole")
	_, err := b.ReadAll(ctx, "chunks/00/new")
	wantCode(t, "read of what was given up", err, gcerrors.NotFound)
}

// The time of an object is that of its last write: to write a chunk again makes it young.
func age(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	const name = "chunks/00/renewed"
	must(t, put(ctx, b, name, "x", false))
	first, err := b.Attributes(ctx, name)
	must(t, err)
	if d := time.Since(first.ModTime).Abs(); d > time.Hour {
		t.Errorf("what was written now is %s old", d)
	}
	// Stores count whole seconds, some of them.
	for deadline := time.Now().Add(30 * time.Second); ; {
		must(t, put(ctx, b, name, "x", false))
		again, err := b.Attributes(ctx, name)
		must(t, err)
		if again.ModTime.After(first.ModTime) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what is written again does not become younger")
		}
	}
	page, _, err := b.ListPage(ctx, blob.FirstPageToken, 10, &blob.ListOptions{Prefix: "chunks/"})
	must(t, err)
	if len(page) != 1 || !page[0].ModTime.After(first.ModTime) || page[0].Size != 1 {
		t.Errorf("it is listed as %+v", page)
	}
}

func probe(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	must(t, checkpoint.Probe(ctx, b))
	if got := list(ctx, t, b, blob.ListOptions{}); len(got) > 0 {
		t.Errorf("the probe leaves %q behind", got)
	}
}

func newRepository(ctx context.Context, t *testing.T, b *blob.Bucket) *checkpoint.Repository {
	t.Helper()
	r, err := checkpoint.Create(ctx, b, checkpoint.NewDataKey(), checkpoint.Pool{Chunker: checkpoint.DefaultChunker(0x3DA3358B4DC173)}, checkpoint.Options{})
	must(t, err)
	return r
}

// Whoever claims a slot at the same moment as others gets an epoch that nobody else has.
func claimRaces(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	r := newRepository(ctx, t, b)
	epochs := make([]int64, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			if e, err := r.Claim(ctx, "0", fmt.Sprint(w)); err == nil {
				epochs[w] = e.Epoch
			}
		})
	}
	wg.Wait()
	slices.Sort(epochs)
	if slices.Contains(epochs, 0) || len(slices.Compact(slices.Clone(epochs))) != writers {
		t.Errorf("%d claims got the epochs %v", writers, epochs)
	}
	e, err := r.Highest(ctx, "0")
	if err != nil || e.Epoch != epochs[writers-1] {
		t.Errorf("the owner's epoch is %d, %v, want %d", e.Epoch, err, epochs[writers-1])
	}
}

// One life: claim, save, be fenced, restore, adopt, pin, prune, sweep, scrub.
func repository(ctx context.Context, t *testing.T, b *blob.Bucket) {
	t.Helper()
	r := newRepository(ctx, t, b)
	_, err := r.ClaimAt(ctx, "0", 3, "first")
	must(t, err)
	first, err := r.Session(ctx, "0", 3)
	must(t, err)
	for _, text := range []string{"one", "two", "three"} {
		must(t, save(ctx, first, text))
	}
	_, err = r.ClaimAt(ctx, "0", 7, "second")
	must(t, err)
	if err := save(ctx, first, "four"); !errors.Is(err, checkpoint.ErrFenced) {
		t.Errorf("a save of the former owner: got %v, want ErrFenced", err)
	}
	second, err := r.Session(ctx, "0", 7)
	must(t, err)
	got, err := r.Restore(ctx, "0", 7, r.Verify)
	must(t, err)
	// The zombie's fourth is whole and there; nobody acknowledged it.
	if want := (checkpoint.Position{Epoch: 3, Sequence: 4}); got.Manifest.Position != want {
		t.Errorf("Restore: got %s, want %s", got.Manifest.Position, want)
	}
	_, err = second.Adopt(ctx, got.Manifest, "Restored")
	must(t, err)
	must(t, r.Pin(ctx, "0", checkpoint.Position{Epoch: 3, Sequence: 1}, "for later"))
	removed, err := r.Prune(ctx, "0", checkpoint.Retain{Last: 1})
	if err != nil || len(removed) != 3 {
		t.Errorf("Prune: removed %v, %v", removed, err)
	}
	swept, err := r.Sweep(ctx)
	if err != nil || swept.Removed != 0 || swept.Young == 0 {
		t.Errorf("Sweep: %+v, %v, want all to be young", swept, err)
	}
	for _, p := range []checkpoint.Position{{Epoch: 3, Sequence: 1}, {Epoch: 7, Sequence: 1}} {
		m, err := r.Manifest(ctx, "0", p)
		must(t, err)
		must(t, r.Verify(ctx, m))
	}
	for cursor, ended := checkpoint.Cursor(""), false; !ended; {
		var found checkpoint.Scrubbed
		found, cursor, err = r.Scrub(ctx, cursor, 100)
		if ended = cursor == ""; err != nil || len(found.Damaged) > 0 {
			t.Fatalf("Scrub: found %+v, %v", found.Damaged, err)
		}
	}
	slots, err := r.Slots(ctx)
	if diff := cmp.Diff([]string{"0"}, slots); err != nil || diff != "" {
		t.Errorf("Slots: %v, -want, +got:\n%s", err, diff)
	}
}

func save(ctx context.Context, s *checkpoint.Session, text string) error {
	id, err := s.Put(ctx, []byte(text))
	if err != nil {
		return err
	}
	_, err = s.Commit(ctx, checkpoint.Save{Reason: "Test", Tree: []checkpoint.ID{id}, Files: 1, Bytes: int64(len(text))})
	return err
}
